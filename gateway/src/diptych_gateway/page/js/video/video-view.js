/** The view that follows objects through a clip or the camera, with every model side by side. */

import { byId } from "../common/dom.js";
import { whyNot } from "../common/tasks.js";
import { VideoPanel } from "./video-panel.js";
import { VideoPrompts } from "./video-prompts.js";
import { VideoSource } from "./video-source.js";
import { Track } from "./video-track.js";

const TASK = "video-segmentation";
const SAMPLE = "samples/clip.webm";

/** @implements {import("../views.js").View} */
export class VideoView {
  #viewport;
  #onError;
  #source;
  #prompts;
  #models = [];
  /** @type {VideoPanel[]} */
  #panels = [];
  /** @type {Track[]} */
  #tracks = [];
  #opacity = 1;
  /** The frame that the video stands still on. @type {import("./video-frame.js").Frame | null} */
  #held = null;
  /** "none", "held" or "playing". */
  #state = "none";

  /**
   * @param {import("../canvas/viewport.js").Viewport} viewport
   * @param {(error: Error) => void} onError hears of refused sessions
   */
  constructor(viewport, onError) {
    this.#viewport = viewport;
    this.#onError = onError;
    this.#source = new VideoSource(byId("video-live"), {
      onFrame: (frame) => this.#eachTrack((track) => track.offer(frame)),
      onMissed: () => this.#eachTrack((track) => track.drop()),
      onEnd: () => this.#hold(),
      onLost: (text) => this.#stop(text),
    });
    this.#prompts = new VideoPrompts(viewport, {
      onPrompt: (object, prompt) => {
        const frame = this.#held;
        if (frame) this.#eachTrack((track) => track.point(object, frame, prompt));
        this.#show();
      },
      onForget: (object) => this.#eachTrack((track) => track.forget(object)),
      onDraw: () => this.#panels.forEach((panel) => panel.redraw()),
    });
    this.#listen();
    this.#show();
  }

  show() {}

  /** The camera is not left on unseen. */
  hide() {
    if (this.#source.live) this.#stop("");
    else if (this.#state === "playing") this.#hold();
  }

  /** @param {import("../views.js").Known} known */
  take({ models }) {
    if (models === this.#models) return;
    this.#models = models;
    this.#eachTrack((track) => track.remove());
    const tracked = [];
    this.#panels = models.map((model) => {
      const onAgain = () => tracks.get(model.model_id)?.resume();
      const panel = new VideoPanel(model, this.#viewport, { tool: this.#prompts.tool, onAgain });
      panel.opacity = this.#opacity;
      const why = whyNot(model, TASK);
      if (why) panel.say(model.card ? "unable" : "error", why);
      else tracked.push([model.model_id, new Track(model.model_id, panel, this.#onError)]);
      return panel;
    });
    const tracks = new Map(tracked);
    this.#tracks = [...tracks.values()];
    byId("video-panels").replaceChildren(...this.#panels.map((panel) => panel.element));
    byId("video-panels").style.setProperty("--count", String(Math.max(tracked.length, 1)));
    this.#rest();
  }

  takeOpacity(share) {
    this.#opacity = share;
    for (const panel of this.#panels) panel.opacity = share;
  }

  #listen() {
    const file = byId("video-file");
    file.addEventListener("change", () => {
      if (file.files[0]) this.#openFile(file.files[0]);
      file.value = ""; // so that the same file can be chosen again
    });
    byId("video-view").addEventListener("drop", (event) => {
      const dropped = event.dataTransfer?.files[0];
      if (!dropped) return;
      event.preventDefault();
      event.stopPropagation();
      document.body.classList.remove("dropping");
      this.#openFile(dropped);
    });
    const buttons = {
      sample: () => this.#open(() => this.#source.openClip(SAMPLE, "The sample")),
      camera: () => this.#open(() => this.#source.openCamera()),
      play: () => this.#playOrHold(),
      restart: () => this.#restart(),
      stop: () => this.#stop(""),
    };
    for (const [name, act] of Object.entries(buttons)) byId(`video-${name}`).addEventListener("click", act);
  }

  #openFile(file) {
    this.#open(() => this.#source.openClip(file, file.name));
  }

  /** @param {() => Promise<boolean>} open */
  async #open(open) {
    this.#stop("");
    byId("video-live").hidden = false; // while hidden it presents no frames
    try {
      if (!(await open())) return;
      await this.#hold();
    } catch (error) {
      this.#stop(error.message);
    }
  }

  async #playOrHold() {
    if (this.#state === "playing") return this.#hold();
    this.#state = "playing";
    this.#forgetHeld();
    this.#show();
    await this.#source.play();
  }

  async #hold() {
    this.#state = "held";
    this.#forgetHeld();
    const frame = await this.#source.hold();
    if (this.#state !== "held" || this.#held) return frame.letGo();
    this.#held = frame;
    this.#prompts.frame = frame;
    this.#eachTrack((track) => track.hold(frame));
    this.#show();
    this.#rest();
  }

  async #restart() {
    this.#clear();
    await this.#source.toStart();
    await this.#hold();
  }

  /** @param {string} problem a sentence, or "" */
  #stop(problem) {
    this.#state = "none";
    this.#source.close();
    this.#clear();
    byId("video-problem").textContent = problem;
    this.#show();
    this.#rest();
  }

  #clear() {
    this.#forgetHeld();
    this.#prompts.reset();
    this.#eachTrack((track) => track.reset());
    this.#viewport.reset();
  }

  #forgetHeld() {
    this.#held?.letGo();
    this.#held = null;
    this.#prompts.frame = null;
  }

  /** @param {(track: Track) => void} act */
  #eachTrack(act) {
    for (const track of this.#tracks) act(track);
  }

  /** What panels without a session say. */
  #rest() {
    const text = this.#state === "none" ? "Choose a clip or the camera." : "Click on an object.";
    this.#eachTrack((track) => track.rest(text));
  }

  #show() {
    const playing = this.#state === "playing";
    byId("video-tools").hidden = this.#state === "none";
    byId("video-live").hidden = this.#state === "none";
    byId("video-play").textContent = playing ? "Pause" : "Play";
    byId("video-play").disabled = !playing && this.#source.atEnd;
    byId("video-pointing").disabled = !this.#held;
  }
}
