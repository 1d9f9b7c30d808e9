/** Everything that tells the result: picture, classes, shares, the pixel under the pointer, times. */

import { abstained, readLayers, shares } from "./layers.js";
import { Legend, summary } from "./legend.js";
import { greyPng } from "./png.js";
import { Probe } from "./probe.js";
import { Stage } from "./stage.js";

const LIVE_TEXT_EVERY_MS = 250; // figures that change faster cannot be read

const at = (id) => document.getElementById(id);

export class Result {
  #classes; // of the model that gave the answer on show
  #tables;
  #stage;
  #legend;
  #probe;
  #answer;
  #layers; // as answered
  #textAt = 0;

  /** What was segmented for the classes on show, `{name, file}`; null while there are none. */
  source = null;

  /**
   * @param {{name: string, rgb: number[], unlabeled: boolean}[]} classes of the models that name none
   * @param {{name: string, classes?: object[]}[]} models the first one's classes are shown until there is an answer
   */
  constructor(classes, models) {
    this.#tables = new Map(models.map((model) => [model.name, model.classes ?? classes]));
    this.#stage = new Stage(at("frame"));
    this.#legend = new Legend(at("legend"), (visible) => this.#stage.setVisible(visible));
    this.#use(models[0].name);
    this.#probe = new Probe(
      { surface: at("surface"), cross: at("cross"), chip: at("chip") },
      { size: () => this.#stage.layers, look: (x, y) => this.#look(x, y), say: (text) => say("probe-status", text) },
    );
    at("show-all").addEventListener("click", () => this.#legend.setAll(true));
    at("hide-all").addEventListener("click", () => this.#legend.setAll(false));
    at("opacity").addEventListener("input", () => this.#setOpacity());
    at("abstain").addEventListener("input", () => this.#setAbstain());
    this.#setOpacity();
    this.#setAbstain();
  }

  /** Show a picture whose classes are not known yet. */
  showPicture(picture, name) {
    document.body.dataset.state = "open";
    this.#stage.showPicture(picture);
    this.#probe.refresh();
    this.#legend.show(null);
    this.source = null;
    at("name").textContent = name;
    for (const id of ["rate", "round-trip", "server"]) figure(id, "");
    say("status", `${name} is being segmented.`);
  }

  /** Show the classes of the picture that is on show. */
  async showClasses(answer, source, signal) {
    const layers = await readLayers(answer.png, answer.form === "layers");
    if (signal.aborted) return;
    this.#show(layers, answer, source);
    this.settle();
  }

  /**
   * Show a frame with its classes; figures follow a few times a second.
   * @param {{answer: object, source: {name: string, file: Blob}, rate: import("./live.js").Rate, moving: boolean}} result
   */
  async showFrame(canvas, { answer, source, rate, moving }, signal) {
    const layers = await readLayers(answer.png, answer.form === "layers");
    if (signal.aborted) return;
    document.body.dataset.state = "open";
    this.#stage.showPicture(canvas);
    this.#show(layers, answer, source);
    const perSecond = rate.count();
    if (!moving) return this.settle();
    if (performance.now() - this.#textAt < LIVE_TEXT_EVERY_MS) return;
    this.#textAt = performance.now();
    figure("rate", perSecond === null ? "" : `${perSecond.toFixed(perSecond < 10 ? 1 : 0)} fps`);
    this.#tell();
  }

  /** No frames come for now, so that they have no rate. */
  stall() {
    figure("rate", "");
  }

  /** What is on show stays for a while: its figures, also in words for a screen reader. */
  settle() {
    this.stall();
    if (!this.source) return say("status", "");
    const fractions = this.#tell();
    say("status", `${this.source.name}: ${summary(fractions, this.#classes)}.`);
  }

  /** The classes on show, as a PNG of their indices. */
  classMap() {
    const { classes, width } = this.#stage.layers;
    return greyPng(classes, width);
  }

  /** What is on show, as a PNG. */
  composed() {
    return this.#stage.composed();
  }

  /** Show the classes of a model from now on. */
  #use(model) {
    const classes = this.#tables.get(model);
    if (classes === this.#classes) return;
    this.#classes = classes;
    this.#stage.setPalette(classes.map(({ rgb }) => rgb));
    this.#legend.setClasses(classes);
  }

  get #unlabeled() {
    return this.#classes.findIndex((one) => one.unlabeled);
  }

  #show(layers, answer, source) {
    this.#use(answer.model);
    this.#layers = layers;
    at("abstain").disabled = !layers.confidence || this.#unlabeled < 0;
    this.#paint();
    [this.source, this.#answer] = [source, answer];
  }

  /** Show the layers but for what the network is not sure of. */
  #paint() {
    const least = this.#unlabeled < 0 ? 0 : Number(at("abstain").value) / 100;
    this.#stage.showLayers(abstained(this.#layers, least, this.#unlabeled));
    this.#probe.refresh();
  }

  #tell() {
    const { model, version, roundTripMs, serverMs } = this.#answer;
    const fractions = shares(this.#stage.layers, this.#classes.length);
    this.#legend.show(fractions);
    figure("round-trip", `${Math.round(roundTripMs)} ms`);
    figure("server", serverMs ? `${Math.round(serverMs)} ms` : "");
    tellServed(model, version);
    return fractions;
  }

  #look(x, y) {
    const { width, classes, confidence } = this.#stage.layers;
    const known = this.#classes[classes[y * width + x]];
    const sure = confidence ? ` ${Math.round((100 * confidence[y * width + x]) / 255)}%` : "";
    return { text: `${known?.name ?? "Unknown"}${sure}`, rgb: known?.rgb ?? [0, 0, 0] };
  }

  #setOpacity() {
    const { value } = at("opacity");
    this.#stage.setOpacity(Number(value) / 100);
    at("opacity-value").textContent = `${value}%`;
  }

  #setAbstain() {
    const { value } = at("abstain");
    at("abstain-value").textContent = value === "0" ? "any" : `${value}%`;
    at("abstain").setAttribute("aria-valuetext", value === "0" ? "any" : `${value}%, else Unlabeled`);
    if (!this.source) return;
    this.#paint();
    this.#tell();
  }
}

/** Which model answers. */
export function tellServed(name, version) {
  at("served").textContent = `${name}, version ${version}`;
}

/** Say something to a screen reader when it is idle. */
export function say(id, text) {
  at(id).textContent = text;
}

function figure(id, text) {
  at(id).textContent = text;
  at(id).parentElement.hidden = !text;
}
