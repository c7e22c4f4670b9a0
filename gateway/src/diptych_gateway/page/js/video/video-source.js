/** A clip or the camera, played in a video element, frame by frame. */

import { whyNotPlayed } from "../clips/clip-problem.js";
import { Frame, FrameGrabber } from "./video-frame.js";

/** A hidden tab presents nothing. */
const PRESENTED_MS = 1000;
const CAMERA = { video: { width: { ideal: 640 }, facingMode: "environment" }, audio: false };

export class VideoSource {
  #video;
  #grabber = new FrameGrabber();
  #hear;
  #url = "";
  #stream = null;
  #seen = 0;
  #grabbing = Promise.resolve();
  #busy = false;
  #turn = 0;
  live = false;

  /**
   * @param {HTMLVideoElement} video
   * @param {{onFrame: (frame: Frame) => void, onMissed: () => void, onEnd: () => void,
   *   onLost: (text: string) => void}} hear who keeps the frame of `onFrame` says so; `onMissed`: one came
   *   while the one before was still being read; `onLost`: it cannot be played on
   */
  constructor(video, hear) {
    this.#video = video;
    this.#hear = hear;
    video.addEventListener("ended", () => this.#hear.onEnd());
  }

  /** Frames so far, those that were missed too. */
  get seen() {
    return this.#seen;
  }

  get atEnd() {
    return !this.live && this.#video.ended;
  }

  /**
   * @param {Blob | string} clip a file or an address
   * @param {string} name
   * @returns {Promise<boolean>} whether nothing else was chosen meanwhile
   * @throws {Error} it cannot be played; the message is a sentence
   */
  async openClip(clip, name) {
    this.close();
    if (typeof clip !== "string" && !clip.size) throw new Error(await whyNotPlayed(clip, name));
    if (typeof clip !== "string") this.#url = URL.createObjectURL(clip);
    const turn = this.#turn;
    const presented = this.#presented();
    this.#video.src = this.#url || String(clip);
    const plays = await this.#loaded();
    if (plays) await atMost(PRESENTED_MS, presented);
    if (turn !== this.#turn) return false;
    if (plays) return true;
    this.close();
    throw new Error(await whyNotPlayed(clip, name));
  }

  /** As `openClip`. @throws {Error} there is none, or it must not be used */
  async openCamera() {
    this.close();
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("A browser gives the camera to localhost and https pages only.");
    }
    const turn = this.#turn;
    const stream = await navigator.mediaDevices.getUserMedia(CAMERA).catch((error) => {
      const denied = error.name === "NotAllowedError";
      throw new Error(denied ? "The camera was not allowed." : "No camera can be used.");
    });
    if (turn !== this.#turn) {
      for (const track of stream.getTracks()) track.stop();
      return false;
    }
    this.#stream = stream;
    this.live = true;
    for (const track of stream.getTracks()) {
      track.addEventListener("ended", () => this.#hear.onLost("The camera is gone."));
    }
    this.#video.srcObject = stream;
    const presented = this.#presented();
    await this.#video.play();
    await atMost(PRESENTED_MS, presented);
    return turn === this.#turn;
  }

  /** Goes on; every frame is told from now on. */
  async play() {
    const turn = ++this.#turn;
    await this.#video.play();
    this.#follow(turn);
  }

  /** Stands still; the frame that is seen, with the next index. @returns {Promise<Frame>} */
  async hold() {
    this.#turn += 1;
    this.#video.pause();
    await this.#grabbing;
    return this.#grab();
  }

  async toStart() {
    this.#turn += 1;
    this.#seen = 0;
    if (this.live) {
      await this.#video.play();
      return;
    }
    this.#video.pause();
    const left = this.#video.currentTime;
    if (!left) return;
    // A frame from before the jump may still be on its way to the screen.
    const presented = this.#presented(
      (frame) => !this.#video.seeking && (frame?.mediaTime ?? 0) <= left / 2,
    );
    this.#video.currentTime = 0;
    await atMost(PRESENTED_MS, presented);
  }

  close() {
    this.#turn += 1;
    this.#seen = 0;
    this.live = false;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = this.#video.srcObject = null;
    this.#video.removeAttribute("src");
    this.#video.load();
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = "";
  }

  #loaded() {
    return new Promise((resolve) => {
      const video = this.#video;
      const stop = new AbortController();
      const end = (plays) => () => {
        stop.abort();
        resolve(plays && video.videoWidth > 0);
      };
      video.addEventListener("loadeddata", end(true), { signal: stop.signal });
      video.addEventListener("error", end(false), { signal: stop.signal });
    });
  }

  /** Data that is loaded, or a time that is sought, has no picture before this. */
  #presented(isWanted = () => true) {
    return new Promise((resolve) => {
      const next = (now, frame) => (isWanted(frame) ? resolve() : this.#request(next));
      this.#request(next);
    });
  }

  #follow(turn) {
    const next = () => {
      if (turn !== this.#turn) return;
      this.#request(next);
      if (this.#busy) {
        this.#seen += 1;
        this.#hear.onMissed();
      } else this.#grabbing = this.#tell(turn);
    };
    this.#request(next);
  }

  /** Firefox before 132 has no callback for frames. */
  #request(next) {
    if ("requestVideoFrameCallback" in this.#video) this.#video.requestVideoFrameCallback(next);
    else requestAnimationFrame(next);
  }

  async #tell(turn) {
    this.#busy = true;
    const frame = await this.#grab();
    this.#busy = false;
    if (turn === this.#turn) this.#hear.onFrame(frame);
    frame.letGo();
  }

  #grab() {
    return this.#grabber.grab(this.#video, this.#seen++);
  }
}

function atMost(milliseconds, promise) {
  return Promise.race([promise, new Promise((resolve) => setTimeout(resolve, milliseconds))]);
}
