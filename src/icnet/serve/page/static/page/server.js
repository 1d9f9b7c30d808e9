/** Requests to the server; what it refuses becomes an error that holds its sentence. */

const PATIENCE_MS = 60_000;

export class ServerError extends Error {
  /**
   * @param {string} sentence for the user
   * @param {number} status of the answer; 0 if there was none
   * @param {number | null} [retryAfterMs] when the server wants to be asked again; null if it does not say
   */
  constructor(sentence, status, retryAfterMs = null) {
    super(sentence);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  /** What is wrong, without the advice that the server gives after a colon. */
  get fact() {
    return this.message.replace(/: .*/, ".");
  }

  /** Whether the same request may succeed soon. */
  get passing() {
    return this.status === 0 || this.status === 503;
  }
}

/**
 * What the server knows: `{classes: [{name, rgb, unlabeled}], models: [{name, version, confidence, classes}]}`, the default model
 * first; a model has classes of its own where they are not those.
 */
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
  const start = performance.now();
  return posted(picture, { as: form, model }, signal, async (answer) => ({
    png: await answer.blob(),
    form,
    model,
    version: answer.headers.get("x-model-version") ?? "",
    roundTripMs: performance.now() - start,
    serverMs: totalMs(answer.headers.get("server-timing")),
  }));
}

/**
 * A picture as the server sees it: upright, and whole.
 * @param {Blob} picture as a file: JPEG, PNG, ...
 * @param {AbortSignal} signal
 * @returns {Promise<Blob>} a PNG of the same pixels
 * @throws {ServerError} refused or not reached
 */
export async function seen(picture, signal) {
  return posted(picture, { as: "overlay", opacity: 0, legend: false }, signal, (answer) => answer.blob());
}

async function posted(picture, query, signal, read) {
  const type = picture.type.startsWith("image/") ? picture.type : "application/octet-stream";
  const headers = { "content-type": type, accept: "image/png" };
  return fetched(`v1/segment?${new URLSearchParams(query)}`, { method: "POST", body: picture, headers, signal }, read);
}

async function fetched(address, { signal, ...options }, read) {
  const late = AbortSignal.timeout(PATIENCE_MS);
  try {
    const answer = await fetch(address, { ...options, signal: signal ? AbortSignal.any([signal, late]) : late });
    if (!answer.ok) throw new ServerError(await sentence(answer), answer.status, retryAfterMs(answer));
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

function retryAfterMs(answer) {
  const seconds = parseInt(answer.headers.get("retry-after"), 10); // not a number if there is none, or a date
  return seconds > 0 ? 1000 * seconds : null;
}

/** Milliseconds of a Server-Timing header: its entry `total`, else the sum of all. */
function totalMs(header) {
  const entries = [...(header ?? "").matchAll(/([\w-]+)[^,]*?;\s*dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms)]);
  const total = entries.find(([name]) => name === "total");
  return total ? total[1] : entries.reduce((sum, [, ms]) => sum + ms, 0);
}
