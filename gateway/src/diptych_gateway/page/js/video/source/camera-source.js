/** The camera: frames as they come, of which the newest are kept to be looked at again. */

import { Frame, FrameGrabber } from "../video-frame.js";
import { makeVideo, onPresented, presented } from "./video-element.js";

const CAMERA = { video: { width: { ideal: 640 }, facingMode: "environment" }, audio: false };
/** Of the files of frames that are kept. */
const MAX_BYTES = 64 * 2 ** 20;
/** The rate of a camera that does not say it. */
const FPS = 30;

/** @implements {import("./clip-source.js").Source} */
export class CameraSource {
  name = "The camera";
  live = true;
  /** Its frames are looked at again one by one. */
  kept = true;
  exact = true;
  playing = false;
  count = 0;
  #video;
  #stream;
  #grabber = new FrameGrabber();
  /** By number. @type {Map<number, Blob>} */
  #files = new Map();
  #bytes = 0;
  #turn = 0;

  constructor(video, stream) {
    this.#video = video;
    this.#stream = stream;
    this.fps = stream.getVideoTracks()[0]?.getSettings().frameRate || FPS;
  }

  /**
   * @param {HTMLElement} place where the element is seen
   * @param {(text: string) => void} onLost the camera is gone
   * @throws {Error} there is none, or it must not be used; the message is a sentence
   */
  static async open(place, onLost) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("A browser gives the camera to localhost and https pages only.");
    }
    const stream = await navigator.mediaDevices.getUserMedia(CAMERA).catch((error) => {
      const denied = error.name === "NotAllowedError";
      throw new Error(denied ? "The camera was not allowed." : "No camera can be used.");
    });
    for (const track of stream.getTracks()) track.addEventListener("ended", () => onLost("The camera is gone."));
    const video = makeVideo(place);
    video.srcObject = stream;
    const first = presented(video);
    await video.play();
    await first;
    const source = new CameraSource(video, stream);
    await source.pause();
    return source;
  }

  /** @param {number} index @throws {Error} it is not kept any more */
  async grab(index) {
    // Frames that came while one was read are not kept.
    const kept = [...this.#files.keys()].findLast((one) => one <= index);
    if (kept === undefined) throw new Error(`Frame ${index + 1} of the camera is not kept any more.`);
    const file = this.#files.get(kept);
    return new Frame(index, await createImageBitmap(file), file).keep();
  }

  /** @param {number} from of no account: a camera goes on @param {import("./clip-source.js").Hear} hear */
  async play(from, { onFrame }) {
    const turn = ++this.#turn;
    this.playing = true;
    let busy = false;
    const next = async () => {
      if (turn !== this.#turn) return;
      onPresented(this.#video, next);
      if (busy) {
        this.count += 1;
        return;
      }
      busy = true;
      const frame = await this.#take();
      busy = false;
      if (turn === this.#turn) onFrame(frame);
      frame.letGo();
    };
    await this.#video.play();
    onPresented(this.#video, next);
  }

  async pause() {
    this.#turn += 1;
    this.playing = false;
    this.#video.pause();
    if (this.live) (await this.#take()).letGo();
    return this.count - 1;
  }

  /** Ends the camera; what it has shown stays. */
  end() {
    this.#turn += 1;
    this.live = this.playing = false;
    this.play = undefined;
    for (const track of this.#stream.getTracks()) track.stop();
    this.#video.srcObject = null;
  }

  close() {
    this.end();
    this.#video.remove();
    this.#files.clear();
  }

  async #take() {
    const index = this.count;
    this.count += 1;
    const frame = await this.#grabber.grab(this.#video, index);
    this.#files.set(index, frame.file);
    this.#bytes += frame.file.size;
    for (const [old, file] of this.#files) {
      if (this.#bytes <= MAX_BYTES || old === index) break;
      this.#files.delete(old);
      this.#bytes -= file.size;
    }
    return frame;
  }
}
