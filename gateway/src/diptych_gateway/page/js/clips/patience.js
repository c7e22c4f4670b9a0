/** How long a model that was lost is waited for. */

/** What passes by itself, beside all that is said with status 503. */
const PASSING = ["SESSION_LOST", "ENGINE_LOST", "DRAINING", "MODEL_LOADING"];
/** Before each try, in milliseconds: a minute in all. */
const PAUSES = [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000, 8000];

export class Patience {
  #tries = 0;
  #timer = 0;
  #back = false;
  /** It is not asked now, but will be again. */
  waits = false;

  /**
   * @param {import("../common/api.js").ApiError} error
   * @param {() => void} onTry the time has come
   * @returns {boolean} whether there will be another try
   */
  after({ status, reason }, onTry) {
    const pause = status === 503 || PASSING.includes(reason) ? PAUSES[this.#tries] : undefined;
    if (pause === undefined) return false;
    this.#tries += 1;
    this.waits = true;
    this.#timer = setTimeout(() => {
      this.waits = false;
      this.#back = true;
      onTry();
    }, pause);
    return true;
  }

  /** It answers. */
  reward() {
    this.#tries = 0;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#tries = 0;
    this.waits = this.#back = false;
  }

  /** The next try is made now. */
  skip() {
    clearTimeout(this.#timer);
    this.waits = false;
    this.#back = true;
  }

  /** Whether it may answer again since this was asked last. */
  cameBack() {
    const back = this.#back;
    this.#back = false;
    return back;
  }
}
