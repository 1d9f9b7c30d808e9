/** Requests to the server; what it refuses becomes an error that holds its sentence. */

const PATIENCE_MS = 60_000;

export class ServerError extends Error {
  /**
   * @param {string} sentence for the user
   * @param {number} status of the answer; 0 if there was none
   */
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }

  /** Whether the same request may succeed soon. */
  get passing() {
    return this.status === 0 || this.status === 503;
  }
}

/** What the server knows: `{classes: [{name, rgb}], models: [{name, version, confidence}]}`, the default model first. */
export async function facts() {
  return fetched("page/classes.json", {}, (answer) => answer.json());
}

/** The server's example scene, a JPEG. */
export async function example(signal) {
  return fetched("page/example.jpg", { signal }, (answer) => answer.blob());
}

/**
 * Segment a picture.
 * @param {Blob} picture as a file: JPEG, PNG, ...
 * @param {{form: "layers"|"classes", model: string, signal?: AbortSignal}} wanted
 * @returns {Promise<{png: Blob, form: string, model: string, version: string, roundTripMs: number, serverMs: number}>}
 * @throws {ServerError} refused or not reached
 */
export async function segment(picture, { form, model, signal }) {
  const query = new URLSearchParams({ as: form, model });
  const headers = { "content-type": picture.type.startsWith("image/") ? picture.type : "application/octet-stream" };
  const start = performance.now();
  return fetched(`v1/segment?${query}`, { method: "POST", body: picture, headers, signal }, async (answer) => ({
    png: await answer.blob(),
    form,
    model,
    version: answer.headers.get("x-model-version") ?? "",
    roundTripMs: performance.now() - start,
    serverMs: totalMs(answer.headers.get("server-timing")),
  }));
}

async function fetched(address, { signal, ...options }, read) {
  const late = AbortSignal.timeout(PATIENCE_MS);
  try {
    const answer = await fetch(address, { ...options, signal: signal ? AbortSignal.any([signal, late]) : late });
    if (!answer.ok) throw new ServerError(await sentence(answer), answer.status);
    return await read(answer);
  } catch (error) {
    if (error instanceof ServerError || signal?.aborted) throw error;
    if (late.aborted) throw new ServerError(`The server did not answer within ${PATIENCE_MS / 1000} seconds.`, 0);
    throw new ServerError("The server cannot be reached. Is it still running?", 0);
  }
}

async function sentence(answer) {
  const text = (await answer.json().catch(() => null))?.error;
  if (typeof text !== "string" || !text) return `The server answered with status ${answer.status}.`;
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

/** Milliseconds of a Server-Timing header: its entry `total`, else the sum of all. */
function totalMs(header) {
  const entries = [...(header ?? "").matchAll(/([\w-]+)[^,]*?;\s*dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms)]);
  const total = entries.find(([name]) => name === "total");
  return total ? total[1] : entries.reduce((sum, [, ms]) => sum + ms, 0);
}
