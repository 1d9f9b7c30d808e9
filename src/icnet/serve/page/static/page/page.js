/** Ties the parts of the page together: a choice is opened, segmented and shown. */

import { Frames, Rate, segmentFrames } from "./live.js";
import { Notice } from "./notice.js";
import { openCamera, Player } from "./player.js";
import { Result, tellServed } from "./result.js";
import * as server from "./server.js";
import { holdDrops, isVideo, readPicture, save, takeFiles } from "./sources.js";

const at = (id) => document.getElementById(id);

const notices = Object.fromEntries(["source", "live", "save"].map((name) => [name, new Notice(at(`${name}-notice`))]));

class Page {
  #current = new AbortController(); // of what is on show; aborted by what comes instead, so that no older answer follows
  #pending = new AbortController(); // of the latest choice, until it can be shown
  #frames = null;

  constructor({ classes, models }) {
    this.models = models;
    this.result = new Result(classes, models);
    this.player = new Player(at("video"), at("player"), (trouble) => this.#stop(trouble));
    at("model").replaceChildren(...models.map(({ name }) => new Option(name, name)));
    at("model-choice").hidden = models.length < 2;
    tellServed(models[0].name, models[0].version);
    takeFiles(at("file"), { open: (file) => this.#open(file), refuse: (text) => notices.source.show(text) });
    at("camera").addEventListener("click", () => this.#openCamera());
    at("example").addEventListener("click", () => this.#openExample());
    at("save-classes").addEventListener("click", () => this.#save("classes"));
    at("save-overlay").addEventListener("click", () => this.#save("overlay"));
    at("model").addEventListener("change", () => this.#again());
  }

  #open(file) {
    if (isVideo(file)) this.#openVideo(file);
    else this.#openPicture(file, file.name || "Picture");
  }

  async #openPicture(file, name) {
    await this.#choose(() => this.#openPicture(file, name), async (signal) => {
      const read = await readPicture(file, (unread) => server.seen(unread, signal));
      if (!read) throw new Error(`${name} is not a picture that this browser can read: JPEG, PNG and WebP are.`);
      const { picture, sent } = read;
      if (this.#commit(signal)) this.result.showPicture(picture, name);
      picture.close();
      if (signal.aborted) return;
      const answer = await this.#segment(sent, signal);
      await this.result.showClasses(answer, { name, file: sent }, signal);
    });
  }

  async #openExample() {
    let file = null;
    await this.#choose(() => this.#openExample(), async (signal) => {
      file = await server.example(signal);
      if (signal.aborted) file = null;
    });
    if (file) await this.#openPicture(file, "Example street");
  }

  async #openVideo(file) {
    await this.#choose(null, async (signal) => {
      if (!this.#commit(signal)) return;
      await this.player.openFile(file, signal);
      if (!signal.aborted) this.#run(file.name, signal);
    });
  }

  async #openCamera() {
    await this.#choose(null, async (signal) => {
      const stream = await openCamera(signal);
      if (!this.#commit(signal)) return;
      await this.player.openStream(stream, signal);
      if (!signal.aborted) this.#run("Webcam", signal);
    });
  }

  /** Open something; its trouble is told beside the sources, unless another choice was made meanwhile. */
  async #choose(again, open) {
    this.#pending.abort();
    this.#pending = new AbortController();
    const { signal } = this.#pending;
    notices.source.clear();
    document.body.toggleAttribute("data-busy", true);
    try {
      await open(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (this.#current.signal === signal) {
        this.#leave(); // a video that cannot be played
        this.result.settle();
      }
      notices.source.show(error.message, error.passing ? again : null);
    }
    if (!signal.aborted) document.body.toggleAttribute("data-busy", false);
  }

  /** The choice can be shown: leave what was before. False if another choice was made meanwhile. */
  #commit(signal) {
    if (signal.aborted) return false;
    this.#current.abort();
    this.#leave();
    this.#current = this.#pending;
    this.#pending = new AbortController();
    return true;
  }

  #leave() {
    this.#frames?.close();
    this.#frames = null;
    this.player.close();
    notices.live.clear();
    notices.save.clear();
  }

  async #run(name, signal) {
    this.#frames = new Frames(at("video"));
    const rate = new Rate();
    try {
      const first = await this.#frames.next();
      if (!first) return;
      this.result.showPicture(first, name);
      this.#frames.again();
      await segmentFrames(this.#frames, {
        segment: (jpeg) => this.#segment(jpeg, signal),
        show: (canvas, jpeg, answer) => {
          notices.live.clear();
          const moving = !at("video").paused;
          return this.result.showFrame(canvas, { answer, source: { name, file: jpeg }, rate, moving }, signal);
        },
        waiting: (error) => {
          if (signal.aborted) return;
          this.result.stall();
          notices.live.show(`${error.fact} Trying again.`);
        },
      });
    } catch (error) {
      if (!signal.aborted) this.#stop(error.message);
    }
  }

  /** End what plays; its last frame stays. */
  #stop(trouble) {
    this.#current.abort();
    this.#leave();
    at("surface").focus({ preventScroll: true });
    this.result.settle();
    if (trouble) notices.live.show(trouble);
  }

  /** Another model was chosen. */
  #again() {
    if (this.#frames) this.#frames.again();
    else if (this.result.source) this.#openPicture(this.result.source.file, this.result.source.name);
  }

  async #save(what) {
    notices.save.clear();
    const { source } = this.result;
    if (!source) return notices.save.show("There are no classes to save yet.");
    try {
      const png = what === "overlay" ? await this.result.composed() : await this.result.classMap();
      save(png, `${source.name.replace(/\.\w+$/, "")}_${what}.png`);
    } catch (error) {
      notices.save.show(error.message);
    }
  }

  #segment(file, signal) {
    const { name, confidence } = this.models[at("model").selectedIndex];
    return server.segment(file, { form: confidence ? "layers" : "classes", model: name, signal });
  }
}

holdDrops();

async function start() {
  notices.source.clear();
  try {
    new Page(await server.facts());
  } catch (error) {
    notices.source.show(error.message, start);
  }
}

start();
