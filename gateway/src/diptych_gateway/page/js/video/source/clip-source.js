/** A clip in a video element: any frame of it by its number, or all as they play. */

import { whyNotPlayed } from "../../clips/clip-problem.js";
import { FrameGrabber, sentSize } from "../video-frame.js";
import { loaded, makeVideo, onPresented, presented } from "./video-element.js";

/** Nothing that plays has more frames a second. */
const MOST_FPS = 120;
/** From when a time was found until its picture is taken as it is, in milliseconds. */
const SOUGHT_MS = 300;
/** Shares of a frame: times in files are rounded. */
const [ODD, NEAR] = [0.25, 0.001];

/**
 * @typedef {object} Source where frames come from
 * @property {string} name
 * @property {boolean} [live] frames come by themselves
 * @property {boolean} [kept] `play` shows others than those that were seen
 * @property {number} count of the frames, which are numbered from 0; of a camera, so far
 * @property {number} fps
 * @property {boolean} [exact] every frame has its number; else frames are taken at even times, as `fps` has them
 * @property {(index: number) => Promise<import("../video-frame.js").Frame>} grab one frame, kept once for the
 *   caller; it throws an Error whose message is a sentence
 * @property {(from: number, hear: Hear, how?: {file?: boolean}) => Promise<void>} [play] at its own speed
 * @property {() => Promise<number>} [pause] the number of the frame that is seen then
 * @property {boolean} [playing]
 * @property {() => void} [close]
 */

/**
 * @typedef {object} Hear
 * @property {(frame: import("../video-frame.js").Frame) => void} onFrame who keeps it says so
 * @property {(problem?: string) => void} onEnd `problem`: it cannot go on, a sentence
 */

/** @implements {Source} */
export class ClipSource {
  exact = true;
  count = 1;
  fps = 1;
  playing = false;
  #video;
  #url;
  #grabber = new FrameGrabber();
  /** Of the first frame, in seconds. */
  #start = 0;
  /** From a frame to the next one, in seconds. */
  #pace = 1;
  /** How long before a time its frame may have begun. */
  #reach = Infinity;
  /** Which frame is seen. */
  #seen = -1;
  #queue = Promise.resolve();
  #turn = 0;

  constructor(video, url, name) {
    this.#video = video;
    this.#url = url;
    this.name = name;
  }

  /**
   * @param {HTMLElement} place where the element is seen
   * @param {Blob} clip
   * @param {string} name
   * @throws {Error} it cannot be played; the message is a sentence
   */
  static async open(place, clip, name) {
    if (!clip.size) throw new Error(await whyNotPlayed(clip, name));
    const video = makeVideo(place);
    const url = URL.createObjectURL(clip);
    const source = new ClipSource(video, url, name);
    const first = presented(video);
    video.src = url;
    if (await loaded(video)) {
      await first;
      await source.#measure();
      const damaged = video.error && source.#damage("all of it");
      if (!damaged) return source;
      source.close();
      throw damaged;
    }
    source.close();
    throw new Error(await whyNotPlayed(clip, name));
  }

  /** @param {number} index */
  grab(index) {
    const grabbed = this.#queue.then(async () => {
      if (this.#seen !== index) await this.#seek(this.#start + (index + 0.5) * this.#pace);
      this.#seen = index;
      if (this.#video.error) {
        await this.#revive();
        throw this.#damage(`frame ${index}`);
      }
      return this.#grabber.grab(this.#video, index);
    });
    this.#queue = grabbed.then(() => {}, () => {});
    return grabbed;
  }

  /** @param {number} from @param {Hear} hear @param {{file?: boolean}} [how] */
  async play(from, { onFrame, onEnd }, how) {
    const turn = ++this.#turn;
    this.playing = true;
    (await this.grab(from)).letGo();
    if (turn !== this.#turn) return;
    const video = this.#video;
    let busy = false;
    const next = async (time) => {
      if (turn !== this.#turn) return;
      onPresented(video, next);
      if (busy) return;
      busy = true;
      const frame = await this.#grabber.grab(video, this.#indexAt(time), how);
      busy = false;
      if (turn === this.#turn) onFrame(frame);
      frame.letGo();
    };
    onPresented(video, next);
    video.onended = () => turn === this.#turn && onEnd();
    video.onerror = () => turn === this.#turn && this.playing && onEnd(this.#damage("what comes next").message);
    this.#seen = -1;
    await video.play().catch(() => {});
  }

  async pause() {
    this.#turn += 1;
    this.playing = false;
    this.#video.pause();
    return this.#video.ended ? this.count - 1 : this.#indexAt(this.#video.currentTime - this.#pace / 2);
  }

  close() {
    this.#turn += 1;
    this.playing = false;
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#video.remove();
    URL.revokeObjectURL(this.#url);
  }

  /** What stopped at a damaged part can go to others. */
  async #revive() {
    this.#seen = -1;
    this.#video.load();
    await loaded(this.#video);
  }

  /** @param {string} what cannot be read */
  #damage(what) {
    return new Error(`“${this.name}” is damaged: this browser cannot read ${what}. “diptych video” reads what is whole.`);
  }

  /** What is sent, if that is smaller. */
  get said() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const [w, h] = sentSize(width, height);
    return w < width ? `${width} × ${height} px; models are sent ${w} × ${h} px, and masks have that size.` : "";
  }

  /** Of the file, in pixels. @returns {[number, number]} */
  get size() {
    return [this.#video.videoWidth, this.#video.videoHeight];
  }

  #indexAt(time) {
    const index = Math.round((time - this.#start) / this.#pace);
    return Math.min(Math.max(index, 0), this.count - 1);
  }

  /** @returns {Promise<number>} the time of the frame that is seen then */
  async #seek(time) {
    const video = this.#video;
    // One from before the jump may still be on its way to the screen; frames at even times are known by them.
    const isWanted = (at) => at <= time + NEAR && at > time - this.#reach;
    const found = presented(video, isWanted);
    video.currentTime = Math.min(time, video.duration || 0);
    if (video.error) return video.currentTime;
    await new Promise((resolve) => {
      for (const event of ["seeked", "error"]) video.addEventListener(event, resolve, { once: true });
      if (!video.seeking) resolve();
    });
    const late = new Promise((resolve) => setTimeout(resolve, SOUGHT_MS, video.currentTime));
    return Promise.race([found, late]);
  }

  /**
   * A file's header is out of reach, so frames are looked for: the second one by times that double, as the
   * first later frame then is the second one, and one four times as far again and again.
   */
  async #measure() {
    const video = this.#video;
    if (!Number.isFinite(video.duration)) await this.#seek(Number.MAX_SAFE_INTEGER);
    const { duration } = video;
    this.#reach = Infinity;
    this.#start = await this.#seek(0);
    const end = await this.#seek(duration);
    let at = this.#start;
    for (let step = 1 / MOST_FPS; at <= this.#start + NEAR && step < duration; step *= 2) {
      at = await this.#seek(this.#start + step);
    }
    if (at > this.#start + NEAR) {
      let step = at - this.#start;
      for (let count = 4; ; count *= 4) {
        const far = this.#start + (count + 0.5) * step;
        const time = far < end ? await this.#seek(far) : end;
        const steps = (time - this.#start) / step;
        if (Math.abs(steps - Math.round(steps)) > ODD) this.exact = false;
        step = (time - this.#start) / Math.max(1, Math.round(steps));
        if (far >= end) break;
      }
      this.fps = usual(1 / step);
      this.count = Math.round((end - this.#start) / step) + 1;
      // Of frames at uneven times any may be the one that is seen.
      this.#pace = 1 / this.fps;
      if (this.exact) this.#reach = this.#pace;
    }
    this.#seen = -1;
  }
}

/** Rates are whole numbers, or those of NTSC. @param {number} fps as measured */
function usual(fps) {
  const rates = [Math.round(fps), Math.round(fps * 1.001) / 1.001];
  return rates.find((rate) => Math.abs(rate / fps - 1) < NEAR) ?? fps;
}
