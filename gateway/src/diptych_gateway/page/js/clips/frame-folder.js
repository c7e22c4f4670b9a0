/** A folder of frames as a clip: each is read when it is looked at, and sent as the file that it is. */

import { decode } from "../common/decode.js";
import { Frame } from "../video/video-frame.js";

/** Frames a second if nobody says it; as on the command line. */
export const FOLDER_RATE = 25;
/** So many frames, from the first to the last, are looked at before it is taken for a clip. */
const LOOKED_AT = 4;

/** @implements {import("../video/source/clip-source.js").Source} */
export class FrameFolder {
  /** Frames are files, and sent as they are. */
  stored = true;
  exact = true;
  playing = false;
  fps = FOLDER_RATE;
  #frames;
  #turn = 0;
  #seen = 0;

  /** @param {import("./frame-files.js").Found} found @param {{width: number, height: number}} size */
  constructor({ name, frames, skipped }, { width, height }) {
    this.name = name || frames[0].name;
    this.count = frames.length;
    this.skipped = skipped;
    this.width = width;
    this.height = height;
    this.#frames = frames;
  }

  /**
   * @param {import("./frame-files.js").Found} found
   * @returns {Promise<FrameFolder>}
   * @throws {Error} it is no clip; the message is a sentence
   */
  static async open(found) {
    const { name, frames, folders } = found;
    if (!frames.length) {
      const others = folders.length ? ` Choose a folder in it: ${listed(folders)}.` : "";
      throw new Error(`${name ? `“${name}” has` : "There are"} no pictures to follow objects through.${others}`);
    }
    const { bitmap } = await read(frames[0]);
    const folder = new FrameFolder(found, bitmap);
    bitmap.close(); // which forgets its size
    const looked = Array.from({ length: LOOKED_AT }, (_, n) => Math.floor((n * (folder.count - 1)) / (LOOKED_AT - 1)));
    for (const index of new Set(looked)) (await folder.grab(index)).letGo();
    return folder;
  }

  /**
   * @param {number} index
   * @returns {Promise<Frame>} kept once, for the caller
   * @throws {Error} it cannot be read, or has another size; the message is a sentence
   */
  async grab(index) {
    const { bitmap, file } = await read(this.#frames[index]);
    if (bitmap.width === this.width && bitmap.height === this.height) return new Frame(index, bitmap, file).keep();
    const size = `${bitmap.width} × ${bitmap.height} px`;
    bitmap.close();
    throw new Error(
      `“${this.#frames[index].name}” is ${size}, the first frame ${this.width} × ${this.height} px: ` +
        "the frames of a clip have one size. Several pictures are for Compare.",
    );
  }

  /** @param {number} index @returns {string} the name of its file */
  fileOf(index) {
    return this.#frames[index].name;
  }

  /** As a camera would: what comes too late is left out. @param {number} from @param {import("../video/source/clip-source.js").Hear} hear */
  async play(from, { onFrame, onEnd }) {
    const turn = ++this.#turn;
    const begun = performance.now();
    this.playing = true;
    for (let index = from; index < this.count; ) {
      const frame = await this.grab(index).catch(() => null);
      if (turn === this.#turn && frame) onFrame(frame);
      frame?.letGo();
      if (turn !== this.#turn) return;
      this.#seen = index;
      const now = from + Math.floor(((performance.now() - begun) * this.fps) / 1000);
      index = Math.max(index + 1, Math.min(now, this.count - 1));
      const due = begun + ((index - from) * 1000) / this.fps;
      await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    }
    if (turn === this.#turn) onEnd();
  }

  async pause() {
    this.#turn += 1;
    this.playing = false;
    return this.#seen;
  }

  /** What was found, as a sentence. */
  get said() {
    const frames = this.count === 1 ? "1 frame" : `${this.count.toLocaleString("en")} frames`;
    const others = this.skipped === 1 ? "1 other file is" : `${this.skipped.toLocaleString("en")} other files are`;
    const skipped = this.skipped ? `; ${others} left out` : "";
    return `${frames} of ${this.width} × ${this.height} px, sent as they are${skipped}.`;
  }
}

async function read(frame) {
  try {
    return await decode(await frame.open());
  } catch (error) {
    const why = error instanceof DOMException ? "cannot be read any more." : error.message;
    throw new Error(`“${frame.name}” ${why}`);
  }
}

function listed(names) {
  return names.slice(0, 6).map((name) => `“${name}”`).join(", ");
}
