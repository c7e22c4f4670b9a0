/** What stands under a picture: the state in words, how long it takes, and what can be done about it. */

import { withDetails } from "../common/refusals.js";
import { make } from "../common/dom.js";

/** Answers that come sooner need no clock. */
const PATIENCE_MS = 1000;
const TICK_MS = 500;

export class Status {
  #text = make("p", { class: "state", role: "status" });
  /** It changes twice a second, so it is no part of what is read out. */
  #clock = make("span", { class: "clock", "aria-hidden": "true" });
  #button;
  #act = () => {};
  #ticking = 0;
  #said = "";
  #name;

  /** @param {string} name of the model */
  constructor(name) {
    this.#name = name;
    this.#button = make("button", { type: "button", onclick: () => this.#act() });
    this.element = make("div", { class: "status" }, this.#text, this.#clock, this.#button);
    this.say("");
  }

  /** What it says, without details. */
  get said() {
    return this.#said;
  }

  /**
   * @param {string | import("../common/refusals.js").Refusal} what
   * @param {(() => void) | null} [retry]
   */
  say(what, retry = null) {
    const { said, details } = typeof what === "string" ? { said: what, details: "" } : what;
    this.#said = said;
    clearInterval(this.#ticking);
    this.#clock.textContent = "";
    this.#text.replaceChildren(...withDetails({ said, details, again: false }));
    this.#offer("Retry", retry);
  }

  /** Says that it is asking, and after a while for how long. @param {() => void} cancel */
  wait(cancel) {
    this.say("Asking …");
    const since = performance.now();
    this.#ticking = setInterval(() => {
      const waited = performance.now() - since;
      if (waited < PATIENCE_MS) return;
      this.#clock.textContent = `${Math.floor(waited / 1000)} s`;
      if (this.#button.hidden) this.#offer("Cancel", cancel);
    }, TICK_MS);
  }

  stop() {
    clearInterval(this.#ticking);
  }

  /** @param {string} text @param {(() => void) | null} act */
  #offer(text, act) {
    const focused = document.activeElement === this.#button;
    this.#act = act ?? (() => {});
    this.#button.textContent = text;
    this.#button.setAttribute("aria-label", `${text}: ${this.#name}`);
    this.#button.hidden = !act;
    if (focused && !act) this.element.closest(".panel")?.querySelector("canvas")?.focus();
  }
}
