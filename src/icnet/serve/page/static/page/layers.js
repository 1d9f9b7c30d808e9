/** Class map and confidence, from the picture that holds one above the other. */

const STRIP_PIXELS = 1 << 22; // some browsers refuse a canvas as large as both layers of a large picture

const strip = document.createElement("canvas").getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });

/**
 * @typedef {object} Layers
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array} classes index of each pixel's class, row by row
 * @property {Uint8Array | null} confidence 255 times the probability of that class, if the model tells it
 */

/**
 * Read the layers, exactly.
 * @param {Blob} png 8-bit grey; of the picture's height, or with the confidence twice as high
 * @param {boolean} both whether it holds the confidence
 * @returns {Promise<Layers>}
 */
export async function readLayers(png, both) {
  const bitmap = await createImageBitmap(png, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  try {
    const { width, height: total } = bitmap;
    const grey = new Uint8Array(width * total);
    const rows = Math.min(total, Math.max(1, Math.floor(STRIP_PIXELS / width)));
    resize(strip.canvas, width, rows);
    for (let top = 0; top < total; top += rows) {
      const height = Math.min(rows, total - top);
      strip.drawImage(bitmap, 0, top, width, height, 0, 0, width, height);
      const rgba = strip.getImageData(0, 0, width, height).data;
      for (let from = 0, to = top * width; from < rgba.length; from += 4, to += 1) grey[to] = rgba[from];
    }
    const height = both ? total / 2 : total;
    const size = width * height;
    return { width, height, classes: grey.subarray(0, size), confidence: both ? grey.subarray(size) : null };
  } finally {
    bitmap.close();
  }
}

/**
 * The same layers with another class where the network is not sure; as the server's parameter `abstain` does it.
 * @param {Layers} layers
 * @param {number} least confidence that keeps its class, 0 to 1
 * @param {number} unlabeled index of the class that the others get
 * @returns {Layers}
 */
export function abstained(layers, least, unlabeled) {
  if (!least || !layers.confidence) return layers;
  const classes = layers.classes.slice();
  for (let at = 0; at < classes.length; at += 1) if (layers.confidence[at] < 255 * least) classes[at] = unlabeled;
  return { ...layers, classes };
}

/**
 * Fraction of the pixels that belong to each class.
 * @param {Layers} layers
 * @param {number} count of classes
 * @returns {number[]}
 */
export function shares({ classes }, count) {
  const counts = new Uint32Array(256);
  for (const index of classes) counts[index] += 1;
  return Array.from(counts.subarray(0, count), (pixels) => pixels / classes.length);
}

/** Give a canvas another size, if it has not got it: setting it empties the canvas and allocates. */
export function resize(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}
