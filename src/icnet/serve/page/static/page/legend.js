/** The classes: names and colours, how much of the picture each has, and a switch for each. */

export class Legend {
  #list;
  #boxes = [];
  #shares = [];
  #bars = [];

  /**
   * @param {HTMLElement} list to fill
   * @param {(visible: boolean[]) => void} changed
   */
  constructor(list, changed) {
    this.#list = list;
    this.changed = changed;
    list.addEventListener("change", () => changed(this.visible));
  }

  /**
   * The classes to list, all switched on.
   * @param {{name: string, rgb: number[]}[]} classes
   */
  setClasses(classes) {
    const rows = classes.map(({ name, rgb }) => row(name, rgb));
    this.#list.replaceChildren(...rows.map(({ item }) => item));
    this.#boxes = rows.map(({ box }) => box);
    this.#shares = rows.map(({ share }) => share);
    this.#bars = rows.map(({ bar }) => bar);
  }

  /** Whether each class is on show. */
  get visible() {
    return this.#boxes.map((box) => box.checked);
  }

  /** Switch all classes on or off. */
  setAll(visible) {
    for (const box of this.#boxes) box.checked = visible;
    this.changed(this.visible);
  }

  /**
   * Tell the fraction of each class; null for none.
   * @param {number[] | null} fractions
   */
  show(fractions) {
    this.#shares.forEach((share, index) => {
      const fraction = fractions?.[index] ?? 0;
      share.textContent = fractions ? percent(fraction) : "";
      this.#bars[index].style.transform = `scaleX(${fraction})`;
      share.closest("li").classList.toggle("absent", fractions !== null && fraction === 0);
    });
  }
}

/** A fraction for people. */
export function percent(fraction) {
  if (fraction > 0 && fraction < 0.0005) return "<0.1%";
  return `${fraction === 0 ? 0 : (100 * fraction).toFixed(1)}%`;
}

/** The shares in words, the largest first, without absent classes. */
export function summary(fractions, classes) {
  return classes
    .map(({ name }, index) => ({ name, fraction: fractions[index] }))
    .filter(({ fraction }) => fraction > 0)
    .sort((a, b) => b.fraction - a.fraction)
    .map(({ name, fraction }) => `${name} ${percent(fraction)}`)
    .join(", ");
}

function row(name, rgb) {
  const [item, label, box] = [element("li"), element("label"), element("input")];
  box.type = "checkbox";
  box.checked = true;
  const [swatch, share, bar] = [element("span", "swatch"), element("span", "share"), element("span", "bar")];
  swatch.style.backgroundColor = bar.style.backgroundColor = `rgb(${rgb.join(" ")})`;
  const text = element("span", "class");
  text.textContent = name;
  label.append(box, swatch, text, share);
  item.append(label, bar);
  return { item, box, share, bar };
}

function element(tag, className = "") {
  return Object.assign(document.createElement(tag), { className });
}
