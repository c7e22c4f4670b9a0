/** One video session with one model, over a WebSocket of its own. */

import { ApiError, keptToken, problem } from "../../common/api.js";

/** Frames that are sent ahead of their answers: one is worked on while the next one travels. */
const AHEAD = 2;
const [DONE, TOO_LARGE] = [1000, 1009];

/**
 * @typedef {object} Hear
 * @property {(answer: any, bytes: number) => void} onFrame what was found on a frame, and the size of that message
 * @property {(error: ApiError, frameIndex: number | null) => void} onRefused the session goes on
 * @property {(error: ApiError) => void} onEnd it is over, and why
 */

export class VideoSession {
  #socket;
  #hear;
  #room = 1;
  #number = 0;
  /** Messages from before the connection stood. @type {(string | Blob)[] | null} */
  #early = [];
  /** Frames without an answer, by the number of their message. */
  #unanswered = new Set();
  #over = false;
  /** The newest so many frames can be prompted on. */
  heldFrames = Infinity;

  /** @param {string} model @param {Hear} hear @param {any} [options] further ones of the session, as `track_all` */
  constructor(model, hear, options = {}) {
    this.#hear = hear;
    const url = new URL("api/video", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this.#socket = new WebSocket(url);
    this.#socket.addEventListener("open", () => {
      for (const message of this.#early ?? []) this.#socket.send(message);
      this.#early = null;
    });
    this.#socket.addEventListener("message", ({ data }) => this.#take(JSON.parse(data), data.length));
    this.#socket.addEventListener("close", ({ code }) => this.#lost(code));
    this.#say({ event: "start", model, token: keptToken(), ...options });
  }

  /** Another frame may be sent; those that come meanwhile are dropped. */
  get ready() {
    return !this.#over && this.#unanswered.size < this.#room;
  }

  /** Everything that was sent is answered. */
  get idle() {
    return !this.#unanswered.size;
  }

  get over() {
    return this.#over;
  }

  /** @param {number} index grows @param {Blob} file */
  sendFrame(index, file) {
    const head = new DataView(new ArrayBuffer(8));
    head.setBigUint64(0, BigInt(index));
    this.#unanswered.add(this.#send(new Blob([head, file])));
  }

  /**
   * Replaces what was said of the object on this frame.
   *
   * @param {number} objectId
   * @param {number} frameIndex one that is still held; the newest one always is
   * @param {{points?: [number, number, boolean][], box?: number[] | null, mask?: any}} prompt in pixels of the frame
   */
  prompt(objectId, frameIndex, prompt) {
    this.#unanswered.add(this.#number + 1);
    this.#say({ event: "prompt", object_id: objectId, frame_index: frameIndex, ...prompt });
  }

  /** @param {number} objectId */
  remove(objectId) {
    this.#say({ event: "removal", object_id: objectId });
  }

  close() {
    this.#over = true;
    this.#socket.close(DONE);
  }

  #say(document) {
    return this.#send(JSON.stringify(document));
  }

  #send(message) {
    if (this.#early) this.#early.push(message);
    else this.#socket.send(message);
    this.#number += 1;
    return this.#number;
  }

  #take(answer, bytes) {
    if (this.#over) return;
    this.#unanswered.delete(answer.in_reply_to);
    if (answer.event === "started") {
      this.#room = Math.min(AHEAD, answer.limits.max_frames_in_flight);
      this.heldFrames = answer.limits.held_frames;
    }
    if (answer.event === "frame") this.#hear.onFrame(answer, bytes);
    if (answer.event === "refused") this.#hear.onRefused(problem(answer.problem), answer.frame_index);
    if (answer.event === "failed") this.#end(problem(answer.problem));
  }

  #lost(code) {
    if (code === TOO_LARGE) this.#end(new ApiError("A frame is too large to be sent."));
    else this.#end(new ApiError("The connection to the gateway is lost.", { reason: "SESSION_LOST" }));
  }

  #end(error) {
    if (this.#over) return;
    this.close();
    this.#hear.onEnd(error);
  }
}
