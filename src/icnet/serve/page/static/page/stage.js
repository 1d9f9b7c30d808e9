/** The picture with its classes over it. */

import { resize } from "./layers.js";

const GRIP_PX = 44; // width of the divider's grip, as in page.css
const THIN_PX = 100;

export class Stage {
  #frame;
  #base;
  #overlay;
  #divider;
  #colours;
  #layers = null;
  #pixels = null;
  #opacity = 1;

  /**
   * @param {HTMLElement} frame holds the canvases `#base` and `#overlay` and the range `#divider`
   */
  constructor(frame) {
    this.#frame = frame;
    this.#base = frame.querySelector("#base").getContext("2d");
    this.#overlay = frame.querySelector("#overlay").getContext("2d");
    this.#divider = frame.querySelector("#divider");
    this.#divider.addEventListener("input", () => this.#split());
    this.#colours = new Uint8ClampedArray(4 * 256);
    this.#split();
  }

  /**
   * The colours of the classes that are shown from now on; all of them are visible.
   * @param {number[][]} palette red, green and blue of each class
   */
  setPalette(palette) {
    this.#colours.fill(0); // an index without a class is transparent
    palette.forEach((rgb, index) => this.#colours.set([...rgb, 255], 4 * index));
  }

  /** The layers being shown; null while there are none. */
  get layers() {
    return this.#layers;
  }

  /**
   * Show a picture without classes.
   * @param {CanvasImageSource & {width: number, height: number}} picture
   */
  showPicture(picture) {
    const { width, height } = picture;
    for (const { canvas } of [this.#base, this.#overlay]) resize(canvas, width, height);
    this.#base.clearRect(0, 0, width, height);
    this.#base.drawImage(picture, 0, 0);
    this.#overlay.clearRect(0, 0, width, height);
    this.#layers = null;
    this.#frame.hidden = false;
    this.#frame.parentElement.style.setProperty("--ratio", String(width / height));
    this.#fit();
  }

  /**
   * Show classes over the picture.
   * @param {import("./layers.js").Layers} layers
   */
  showLayers(layers) {
    const { width, height } = layers;
    if (width !== this.#base.canvas.width || height !== this.#base.canvas.height) {
      throw new Error("The server reads this file as a picture of another size than this browser does.");
    }
    this.#layers = layers;
    this.#paint();
  }

  /** Show or hide classes; `visible[index]` tells of each. */
  setVisible(visible) {
    visible.forEach((shown, index) => {
      this.#colours[4 * index + 3] = shown ? 255 : 0;
    });
    if (this.#layers) this.#paint();
  }

  /** Opacity of the classes, 0 to 1. */
  setOpacity(opacity) {
    this.#opacity = opacity;
    this.#overlay.canvas.style.opacity = String(opacity);
  }

  /** What is on show as a PNG of the picture's size. */
  async composed() {
    const { width, height } = this.#base.canvas;
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    context.drawImage(this.#base.canvas, 0, 0);
    context.globalAlpha = this.#opacity;
    const left = Math.round(this.#splitFraction() * width);
    if (left < width) context.drawImage(this.#overlay.canvas, left, 0, width - left, height, left, 0, width - left, height);
    return canvas.convertToBlob({ type: "image/png" });
  }

  #paint() {
    const { width, height, classes } = this.#layers;
    if (this.#pixels?.width !== width || this.#pixels.height !== height) this.#pixels = new ImageData(width, height);
    const colours = new Uint32Array(this.#colours.buffer);
    const pixels = new Uint32Array(this.#pixels.data.buffer);
    for (let at = 0; at < pixels.length; at += 1) pixels[at] = colours[classes[at]];
    this.#overlay.putImageData(this.#pixels, 0, 0);
  }

  /** Where the classes begin, as a fraction of the width: beneath the middle of the grip, or at an edge. */
  #splitFraction() {
    const part = Number(this.#divider.value) / 100;
    if (part === 0 || part === 1) return part;
    const width = this.#frame.clientWidth;
    return (GRIP_PX / 2 + part * (width - GRIP_PX)) / width;
  }

  #split() {
    const part = Number(this.#divider.value) / 100;
    const edge = part === 0 || part === 1;
    const left = edge ? `${100 * part}%` : `calc(${GRIP_PX / 2}px + ${part} * (100% - ${GRIP_PX}px))`;
    this.#frame.style.setProperty("--split", left);
    this.#frame.classList.toggle("whole", edge);
    const percent = Math.round(100 * part);
    this.#divider.setAttribute("aria-valuetext", `${percent}% original, ${100 - percent}% with classes`);
  }

  /** Enlarged classes keep their edges; a thin frame lets out what does not fit into it. */
  #fit() {
    const { clientWidth, clientHeight } = this.#frame;
    this.#overlay.canvas.classList.toggle("magnified", clientWidth > 1.5 * this.#base.canvas.width);
    this.#frame.classList.toggle("thin", Math.min(clientWidth, clientHeight) < THIN_PX);
  }
}
