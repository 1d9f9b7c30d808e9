/** The ways in which a file comes to the page. */

/**
 * @param {HTMLInputElement} input of type file
 * @param {object} calls
 * @param {(file: File) => void} calls.open
 * @param {(text: string) => void} calls.refuse
 */
export function takeFiles(input, { open, refuse }) {
  input.addEventListener("change", () => {
    const [file] = input.files;
    if (file) open(file);
    input.value = ""; // the same file can be chosen again
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file) open(file);
  });
  takeDrops({ open, refuse });
}

function takeDrops({ open, refuse }) {
  let depth = 0; // each element that is entered sends its own event
  const mark = (change) => {
    depth = change === 0 ? 0 : Math.max(0, depth + change);
    document.body.toggleAttribute("data-dropping", depth > 0);
  };
  document.addEventListener("dragenter", (event) => {
    event.preventDefault();
    mark(1);
  });
  document.addEventListener("dragleave", () => mark(-1));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(0);
    const [file] = event.dataTransfer?.files ?? [];
    if (file) open(file);
    else refuse("That was not a file: drop a picture or a video from this computer.");
  });
}

/** Whether a file is a film, by its type or, without one, by its name. */
export function isVideo(file) {
  return file.type ? file.type.startsWith("video/") : /\.(mp4|m4v|mov|webm|mkv|avi|ogv)$/i.test(file.name);
}

/**
 * The picture as the server reads it just as this browser does: JPEG, PNG and WebP as they are, all others as PNG, and so
 * WebP with EXIF data, whose orientation only some browsers heed.
 * @param {Blob} file
 * @param {ImageBitmap} picture what the browser reads in it
 * @returns {Promise<Blob>}
 */
export async function portable(file, picture) {
  const head = new Uint8Array(await file.slice(0, 21).arrayBuffer());
  const text = String.fromCharCode(...head);
  const exif = text.startsWith("VP8X", 12) && head[20] & 8;
  const webp = text.startsWith("RIFF") && text.startsWith("WEBP", 8) && !exif;
  if (text.startsWith("\xff\xd8\xff") || text.startsWith("\x89PNG") || webp) return file;
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").drawImage(picture, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** Offer a file to be kept. */
export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // the browser has it by then
}
