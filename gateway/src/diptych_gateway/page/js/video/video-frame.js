/** Frames of a video: what is seen, and the file that models are sent. */

/** The longer side that is sent, in pixels: models look at no more. */
const MAX_SIDE = 1280;
const QUALITY = 0.9;

export class Frame {
  #users = 0;

  /** @param {number} index @param {ImageBitmap} bitmap @param {Blob | null} file `null` for one that is only looked at */
  constructor(index, bitmap, file) {
    this.index = index;
    this.bitmap = bitmap;
    this.file = file;
    this.width = bitmap.width;
    this.height = bitmap.height;
  }

  /** It is needed until it is let go as often. */
  keep() {
    this.#users += 1;
    return this;
  }

  letGo() {
    this.#users -= 1;
    if (!this.#users) this.bitmap.close();
  }
}

export class FrameGrabber {
  #canvas = document.createElement("canvas");
  #context = this.#canvas.getContext("2d", { willReadFrequently: true });

  /**
   * What the element shows now; kept once, for the caller.
   *
   * @param {HTMLVideoElement} video with a picture
   * @param {number} index
   * @param {{file?: boolean}} [how] `file`: it may be sent
   */
  async grab(video, index, { file = true } = {}) {
    const [width, height] = sentSize(video.videoWidth, video.videoHeight);
    const canvas = this.#canvas;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.#context.drawImage(video, 0, 0, width, height);
    const written = file && new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
    const bitmap = await createImageBitmap(canvas);
    return new Frame(index, bitmap, /** @type {Blob | null} */ ((await written) || null)).keep();
  }
}

/** How large frames of a clip are when they are sent. @param {number} width @param {number} height @returns {[number, number]} */
export function sentSize(width, height) {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  const scaled = (side) => Math.max(1, Math.round(side * scale));
  return [scaled(width), scaled(height)];
}
