/** Tells what is at a pixel: at the mouse, at a touch, or at a crosshair that the arrow keys move. */

const STEPS_PER_SIDE = 50;

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Probe {
  #surface;
  #cross;
  #chip;
  #size;
  #look;
  #say;
  #at = null;
  #byKeys = false;

  /**
   * @param {{surface: HTMLElement, cross: HTMLElement, chip: HTMLElement}} elements all in one frame
   * @param {object} calls
   * @param {() => {width: number, height: number} | null} calls.size of the picture; null while there is nothing to tell
   * @param {(x: number, y: number) => {text: string, rgb: number[]}} calls.look at a pixel
   * @param {(text: string) => void} calls.say to a screen reader
   */
  constructor({ surface, cross, chip }, { size, look, say }) {
    [this.#surface, this.#cross, this.#chip] = [surface, cross, chip];
    [this.#size, this.#look, this.#say] = [size, look, say];
    for (const kind of ["pointerdown", "pointermove"]) surface.addEventListener(kind, (event) => this.#point(event));
    surface.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch") this.#hide(); // what a finger found stays to be read
    });
    surface.addEventListener("keydown", (event) => this.#key(event));
    surface.addEventListener("blur", () => this.#hide());
  }

  /** Tell again: the picture has changed. */
  refresh() {
    const size = this.#size();
    if (!this.#at || !size) return this.#hide();
    const x = Math.min(this.#at.x, size.width - 1);
    const y = Math.min(this.#at.y, size.height - 1);
    this.#at = { x, y };
    const { text, rgb } = this.#look(x, y);
    const [left, top] = [(100 * (x + 0.5)) / size.width, (100 * (y + 0.5)) / size.height];
    for (const element of [this.#cross, this.#chip]) {
      Object.assign(element.style, { left: `${left}%`, top: `${top}%` });
    }
    this.#cross.hidden = !this.#byKeys;
    this.#chip.hidden = false;
    this.#chip.classList.toggle("leftward", left >= 50);
    this.#chip.classList.toggle("upward", top > 70);
    this.#chip.querySelector(".text").textContent = text;
    this.#chip.querySelector(".swatch").style.backgroundColor = `rgb(${rgb.join(" ")})`;
    return text;
  }

  #point(event) {
    const size = this.#size();
    if (!size) return;
    const box = this.#surface.getBoundingClientRect();
    const part = (offset, length, pixels) => Math.max(0, Math.min(pixels - 1, Math.floor((offset / length) * pixels)));
    this.#at = {
      x: part(event.clientX - box.left, box.width, size.width),
      y: part(event.clientY - box.top, box.height, size.height),
    };
    this.#byKeys = false;
    this.refresh();
  }

  #key(event) {
    const size = this.#size();
    if (event.key === "Escape") this.#hide();
    const move = MOVES[event.key];
    if (!move || !size || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(size.width, size.height) / STEPS_PER_SIDE));
    const from = this.#at ?? { x: Math.floor(size.width / 2), y: Math.floor(size.height / 2) };
    const steps = this.#at ? step : 0; // the first key shows the middle
    this.#at = {
      x: Math.max(0, Math.min(size.width - 1, from.x + move[0] * steps)),
      y: Math.max(0, Math.min(size.height - 1, from.y + move[1] * steps)),
    };
    this.#byKeys = true;
    this.#say(this.refresh());
  }

  #hide() {
    this.#at = null;
    this.#cross.hidden = this.#chip.hidden = true;
  }
}
