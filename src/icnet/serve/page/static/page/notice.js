/** An error beside the control that caused it. */

export class Notice {
  #element;

  /** @param {HTMLElement} element with role alert */
  constructor(element) {
    this.#element = element;
  }

  /**
   * @param {string} text
   * @param {() => void} [again] what a button "Try again" does
   */
  show(text, again) {
    if (!this.#element.hidden && this.#element.firstChild?.textContent === text) return; // said once is enough
    const words = document.createElement("span");
    words.textContent = text;
    this.#element.replaceChildren(words);
    if (again) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: "Try again" });
      button.addEventListener("click", again);
      this.#element.append(button);
    }
    this.#element.hidden = false;
  }

  clear() {
    this.#element.hidden = true;
    this.#element.replaceChildren();
  }
}
