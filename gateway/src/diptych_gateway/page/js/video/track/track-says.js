/** What a model's panel says of how it stands. */

export class TrackSays {
  /** It is to follow everything, and cannot. */
  unable = false;
  #panel;

  /** @param {import("../video-panel.js").VideoPanel} panel */
  constructor(panel) {
    this.#panel = panel;
  }

  /** Nothing is asked yet. */
  rest() {
    const only = this.unable ? "It follows only what it is pointed at. " : "";
    this.#panel.say("idle", `${only}Click on an object.`);
  }

  /** @param {number} told objects that were pointed at @param {number | null} found those that it follows, if all */
  follow(told, found) {
    const count = found ?? told;
    const what = found === null ? "Following" : "Following everything:";
    if (found !== null || told) this.#panel.say("open", `${what} ${count === 1 ? "1 object" : `${count} objects`}`);
  }

  /** @param {Error} error @param {{waits: boolean, failed: boolean}} how it `waits` for another try, or has `failed` */
  lost({ message }, { waits, failed }) {
    if (waits) this.#panel.say("error", `${message} Trying again …`, true);
    else if (failed) this.#panel.say("error", message, true);
    else this.#panel.say("idle", `${message} It begins anew when you go on.`);
  }
}
