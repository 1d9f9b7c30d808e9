/** Frames of a playing video or of a camera, segmented as fast as the server answers. */

import { resize } from "./layers.js";

const LONGEST_SIDE = 1280; // larger frames are made smaller: the network sees no more than that, and the way is shorter
const JPEG_QUALITY = 0.9;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;
const RATE_OVER_MS = 2000;

/** Knows when a video element shows a frame that has not been taken yet. */
export class Frames {
  #video;
  #canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  #fresh = true;
  #wake = () => {};
  #off = new AbortController();

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.#video = video;
    const { signal } = this.#off;
    for (const name of ["seeked", "pause"]) video.addEventListener(name, () => this.again(), { signal });
    document.addEventListener("visibilitychange", () => this.again(), { signal });
    this.#watch();
  }

  /** Take what is on show once more. */
  again() {
    this.#fresh = true;
    this.#wake();
  }

  close() {
    this.#off.abort();
    this.again();
  }

  /** The next new frame, of the size that is sent; null once closed. The same canvas each time. */
  async next() {
    while (!this.#off.signal.aborted) {
      if (this.#fresh && !document.hidden && !this.#video.seeking && this.#video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
        this.#fresh = false;
        return this.#draw();
      }
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
    return null;
  }

  #draw() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    const { canvas } = this.#canvas;
    resize(canvas, Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    this.#canvas.drawImage(this.#video, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  #watch() {
    if (this.#off.signal.aborted) return;
    if ("requestVideoFrameCallback" in this.#video) {
      this.#video.requestVideoFrameCallback(() => this.#seen());
    } else {
      const before = this.#video.currentTime;
      requestAnimationFrame(() => (this.#video.currentTime === before ? this.#watch() : this.#seen()));
    }
  }

  #seen() {
    this.again();
    this.#watch();
  }
}

/**
 * Segment frames, one after another, until they end; a server that is busy or away is asked again.
 * @param {Frames} frames
 * @param {object} calls
 * @param {(jpeg: Blob) => Promise<object>} calls.segment
 * @param {(canvas: HTMLCanvasElement, jpeg: Blob, answer: object) => Promise<void> | void} calls.show
 * @param {(error: Error) => void} calls.waiting the server cannot answer now
 * @throws {Error} what cannot pass, from `segment` or `show`
 */
export async function segmentFrames(frames, { segment, show, waiting }) {
  let pauseMs = FIRST_PAUSE_MS;
  for (let canvas = await frames.next(); canvas; canvas = await frames.next()) {
    const jpeg = await new Promise((resolve) => {
      canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY);
    });
    try {
      await show(canvas, jpeg, await segment(jpeg));
      pauseMs = FIRST_PAUSE_MS;
    } catch (error) {
      if (!error.passing) throw error;
      waiting(error);
      await new Promise((resolve) => {
        setTimeout(resolve, error.retryAfterMs ?? pauseMs);
      });
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      frames.again();
    }
  }
}

/** Frames per second over the last seconds. */
export class Rate {
  #times = [];

  /** Count a frame; the rate so far, null after only one. */
  count() {
    const now = performance.now();
    this.#times = this.#times.filter((time) => time > now - RATE_OVER_MS);
    this.#times.push(now);
    const span = now - this.#times[0];
    return span > 0 ? (1000 * (this.#times.length - 1)) / span : null;
  }
}
