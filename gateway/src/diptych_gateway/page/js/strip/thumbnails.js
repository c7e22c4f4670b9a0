/** Small pictures of files, made one at a time, only for those that are in sight. */

const SIDE = 112;
/** A small picture takes 50 kB. */
const MAX_KEPT = 300;

export class Thumbnails {
  /** @type {Map<Blob, HTMLCanvasElement | null>} the newest last; `null` for what cannot be read */
  #kept = new Map();
  /** @type {Map<Blob, (small: HTMLCanvasElement | null) => void>} */
  #wanted = new Map();
  #busy = false;

  /** @param {Blob} file @param {(small: HTMLCanvasElement | null) => void} onMade may be called at once */
  want(file, onMade) {
    if (this.#kept.has(file)) onMade(this.#kept.get(file) ?? null);
    else this.#wanted.set(file, onMade);
    this.#work();
  }

  /** It is out of sight. @param {Blob} file */
  leave(file) {
    this.#wanted.delete(file);
  }

  async #work() {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#wanted.size) {
      // The newest first: that is where the person looks now.
      const [file] = [...this.#wanted.keys()].slice(-1);
      const small = await made(file);
      this.#kept.set(file, small);
      for (const old of [...this.#kept.keys()].slice(0, Math.max(0, this.#kept.size - MAX_KEPT))) this.#kept.delete(old);
      this.#wanted.get(file)?.(small);
      this.#wanted.delete(file);
    }
    this.#busy = false;
  }
}

/** @param {Blob} file @returns {Promise<HTMLCanvasElement | null>} its middle square */
async function made(file) {
  try {
    const whole = await createImageBitmap(file);
    const side = Math.min(whole.width, whole.height);
    const [left, top] = [(whole.width - side) / 2, (whole.height - side) / 2];
    const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
    canvas.getContext("2d").drawImage(whole, left, top, side, side, 0, 0, SIDE, SIDE);
    whole.close();
    return canvas;
  } catch {
    return null;
  }
}
