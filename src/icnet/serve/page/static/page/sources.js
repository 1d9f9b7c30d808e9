/** The ways in which a file comes to the page. */

/** Until the page can take files, one that is dropped on it must not be opened in its place by the browser. */
export function holdDrops() {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = "none";
  });
  document.addEventListener("drop", (event) => event.preventDefault());
}

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
    if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
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
 * A picture to be drawn, and the file of it that the server reads just so: JPEG, PNG and WebP as they are, all others as PNG.
 *
 * WebP with EXIF data is drawn from what the server sees in it, because only some browsers heed the orientation in there, and
 * so is what this browser fails to read; if it is damaged, the server's refusal tells.
 * @param {Blob} file
 * @param {(file: Blob) => Promise<Blob>} seen asks the server how it sees a file
 * @returns {Promise<{picture: ImageBitmap, sent: Blob} | null>} null for what is no picture
 */
export async function readPicture(file, seen) {
  const head = new Uint8Array(await file.slice(0, 21).arrayBuffer());
  const text = String.fromCharCode(...head);
  const webp = text.startsWith("RIFF") && text.startsWith("WEBP", 8);
  const exif = webp && text.startsWith("VP8X", 12) && head[20] & 8;
  const known = webp || text.startsWith("\xff\xd8\xff") || text.startsWith("\x89PNG");
  const picture = exif ? null : await bitmap(file).catch(() => null);
  if (known) return { picture: picture ?? (await bitmap(await seen(file))), sent: file };
  return picture && { picture, sent: await png(picture) };
}

function bitmap(file) {
  return createImageBitmap(file, { imageOrientation: "from-image" });
}

function png(picture) {
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
