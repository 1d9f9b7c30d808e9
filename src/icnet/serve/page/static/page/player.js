/** The video element, filled by a file or by the camera, and its controls. */

const CAMERA = { audio: false, video: { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "environment" } };

const CAMERA_TROUBLE = {
  NotAllowedError: "The browser refuses the camera to this page: allow it beside the address, then try again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera cannot be used: another program may have it.",
};

export class Player {
  #video;
  #bar;
  #play;
  #seek;
  #time;
  #url = null;
  #stream = null;
  #resume = false;

  /**
   * @param {HTMLVideoElement} video
   * @param {HTMLElement} bar with the controls
   * @param {(trouble?: string) => void} ended called when the camera ends by itself or the user stops
   */
  constructor(video, bar, ended) {
    this.#video = video;
    this.#bar = bar;
    [this.#play, this.#seek, this.#time] = ["#play", "#seek", "#time"].map((name) => bar.querySelector(name));
    this.ended = ended;
    this.#play.addEventListener("click", () => (video.paused ? this.#start() : video.pause()));
    this.#seek.addEventListener("input", () => {
      video.currentTime = Number(this.#seek.value);
    });
    bar.querySelector("#stop").addEventListener("click", () => ended());
    for (const name of ["play", "pause", "timeupdate", "durationchange", "seeking"]) video.addEventListener(name, () => this.#refresh());
    document.addEventListener("visibilitychange", () => this.#visibility());
  }

  get active() {
    return this.#url !== null || this.#stream !== null;
  }

  /**
   * Play a file.
   * @param {Blob} file
   * @param {AbortSignal} signal
   * @throws {Error} it cannot be played
   */
  async openFile(file, signal) {
    this.#url = URL.createObjectURL(file);
    this.#video.src = this.#url;
    await this.#loaded(signal, "This browser cannot play this video: MP4 with H.264 and WebM work in most.");
  }

  /**
   * Show a camera.
   * @param {MediaStream} stream
   * @param {AbortSignal} signal
   * @throws {Error} it gives no pictures
   */
  async openStream(stream, signal) {
    this.#stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => this.ended("The camera was switched off or taken away."), { once: true });
    this.#video.srcObject = stream;
    await this.#loaded(signal, "The camera gives no pictures.");
  }

  /** Let go of everything. */
  close() {
    if (!this.active) return;
    this.#video.pause();
    if (this.#stream) release(this.#stream);
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#stream = this.#url = null;
    this.#video.srcObject = null;
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#resume = false;
    this.#bar.hidden = true;
  }

  async #loaded(signal, trouble) {
    const video = this.#video;
    await new Promise((resolve, reject) => {
      const off = new AbortController();
      const settle = (action) => () => {
        off.abort();
        action();
      };
      video.addEventListener("loadeddata", settle(resolve), { signal: off.signal });
      video.addEventListener("error", settle(() => reject(new Error(trouble))), { signal: off.signal });
      signal.addEventListener("abort", settle(resolve), { signal: off.signal });
    });
    if (signal.aborted) return;
    if (!video.videoWidth) throw new Error("This file holds sound but no pictures.");
    this.#bar.hidden = false;
    this.#refresh();
    this.#start();
  }

  #start() {
    this.#video.play().catch(() => this.#refresh()); // not allowed, or stopped meanwhile: the button says so
  }

  #refresh() {
    const { paused, duration, currentTime } = this.#video;
    this.#play.textContent = paused ? "Play" : "Pause";
    const film = this.#url !== null && Number.isFinite(duration);
    this.#seek.hidden = this.#time.hidden = !film;
    if (!film) return;
    this.#seek.max = String(duration);
    this.#seek.value = String(currentTime);
    this.#time.textContent = `${clock(currentTime)} / ${clock(duration)}`;
    this.#seek.setAttribute("aria-valuetext", `${clock(currentTime)} of ${clock(duration)}`);
  }

  /** Nobody looks: nothing is sent. */
  #visibility() {
    if (!this.active) return;
    if (document.hidden) {
      this.#resume = !this.#video.paused;
      this.#video.pause();
    } else if (this.#resume) {
      this.#resume = false;
      this.#start();
    }
  }
}

/**
 * Ask for the camera.
 * @param {AbortSignal} signal
 * @returns {Promise<MediaStream>}
 * @throws {Error} there is none, or not for this page
 */
export async function openCamera(signal) {
  if (!navigator.mediaDevices) throw new Error("Browsers give the camera only to pages from localhost or over https.");
  try {
    const stream = await navigator.mediaDevices.getUserMedia(CAMERA);
    if (signal.aborted) release(stream);
    return stream;
  } catch (error) {
    throw new Error(CAMERA_TROUBLE[error.name] ?? `The camera cannot be used: ${error.message}`, { cause: error });
  }
}

function release(stream) {
  for (const track of stream.getTracks()) track.stop();
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
