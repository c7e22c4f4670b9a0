/** The pictures of a folder as a strip: which one is shown, how each stands, and the way through. */

import { byId, make } from "../common/dom.js";
import { markOf, onMark } from "../common/marks.js";
import { findPictures } from "./files.js";
import { Thumbnails } from "./thumbnails.js";

/** Of one place, with what parts it from the next; as in `strip.css`. */
const STEP = 72;
const STATES = { "": "not asked", asking: "being asked", done: "answered", failed: "failed" };

/** @typedef {{file: File, name: string, number: number}} Listed */

export class Strip {
  /** @type {Listed[]} */
  #pictures = [];
  #at = -1;
  /** @type {Map<number, any>} the buttons that are in sight, by their place */
  #seen = new Map();
  #small = new Thumbnails();
  #hear;
  /** It goes on by itself, to the end. */
  #running = false;
  #track = byId("strip-track");
  #scroller = byId("strip-scroller");

  /**
   * @param {{list: (found: {file: File, name: string}[]) => Listed[], onChoose: (picture: Listed) => void,
   *   onProblem: (text: string) => void}} hear `list` numbers pictures
   */
  constructor(hear) {
    this.#hear = hear;
    byId("strip-back").addEventListener("click", () => this.step(-1));
    byId("strip-on").addEventListener("click", () => this.step(1));
    byId("strip-close").addEventListener("click", () => this.#show([], ""));
    this.#scroller.addEventListener("scroll", () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#draw()).observe(this.#scroller);
    this.#track.addEventListener("keydown", (event) => this.#hearKey(event));
    document.addEventListener("keydown", (event) => this.#hearPage(event));
    byId("strip-all").addEventListener("click", () => {
      this.#running = !this.#running;
      this.#goOn();
    });
    onMark(() => this.#goOn());
  }

  /** @param {File[]} files @param {any[]} entries of a drop with folders, instead */
  async take(files, entries) {
    const { pictures, skipped, full } = await findPictures(files, entries);
    const others = skipped === 1 ? "1 file is no picture and is" : `${skipped} files are no pictures and are`;
    const note = [skipped && `${others} left out.`, full && `Only the first ${pictures.length} are here.`].filter(Boolean).join(" ");
    if (pictures.length) this.#show(this.#hear.list(pictures), note);
    else this.#hear.onProblem(`No picture was found. ${note}`.trim());
  }

  /** @param {Listed[]} pictures none: the strip goes @param {string} note what else there is to say */
  #show(pictures, note) {
    byId("strip-note").textContent = note;
    this.#running = false;
    for (const place of [...this.#seen.keys()]) this.#drop(place);
    this.#pictures = pictures;
    this.#at = -1;
    byId("strip").hidden = !pictures.length;
    this.#track.style.width = `${pictures.length * STEP}px`;
    this.#scroller.scrollLeft = 0;
    this.#draw();
    if (pictures.length) this.#choose(0);
  }

  get pictures() {
    return this.#pictures;
  }

  /** Another way led to this picture. @param {number | undefined} number */
  follow(number) {
    this.#at = this.#pictures.findIndex((one) => one.number === number);
    this.#look();
  }

  /** @param {number} by places */
  step(by) {
    this.#pick(this.#at + by);
  }

  /** A person chose it. */
  #pick(place) {
    this.#running = false;
    this.#choose(Math.max(0, Math.min(this.#pictures.length - 1, place)));
  }

  /** Shows the next picture that is not answered, as soon as this one is. */
  #goOn() {
    const state = this.#pictures[this.#at] ? markOf(this.#pictures[this.#at].file) : "done";
    if (this.#running && (state === "done" || state === "failed")) {
      const next = this.#pictures.findIndex(({ file }, place) => place > this.#at && markOf(file) !== "done");
      this.#running = next >= 0;
      if (this.#running) this.#choose(next);
    }
    this.#say();
  }

  #choose(place) {
    if (place === this.#at || !this.#pictures[place]) return;
    this.#at = place;
    this.#look();
    this.#hear.onChoose(this.#pictures[place]);
  }

  #look() {
    const left = this.#at * STEP;
    const { scrollLeft, clientWidth } = this.#scroller;
    const around = Math.max(0, (clientWidth - STEP) / 2);
    if (this.#at >= 0 && (left < scrollLeft || left + STEP > scrollLeft + clientWidth)) {
      this.#scroller.scrollLeft = left - around;
    }
    this.#draw();
  }

  /** Makes what is in sight and forgets what is not. */
  #draw() {
    const { scrollLeft, clientWidth } = this.#scroller;
    const first = Math.max(0, Math.floor(scrollLeft / STEP) - 2);
    const end = Math.min(this.#pictures.length, Math.ceil((scrollLeft + clientWidth) / STEP) + 2);
    const focused = this.#placeOf(document.activeElement);
    for (const place of [...this.#seen.keys()]) {
      // What has the focus stays, or the keyboard would lose its place.
      if ((place < first || place >= end) && place !== focused && place !== this.#at) this.#drop(place);
    }
    for (let place = first; place < end; place += 1) this.#make(place);
    if (this.#at >= 0) this.#make(this.#at);
    this.#say();
  }

  #make(place) {
    if (this.#seen.has(place)) return;
    const { file, name } = this.#pictures[place];
    const button = make("button", {
      type: "button",
      title: name,
      "data-place": place,
      onclick: () => this.#pick(place),
    });
    button.style.left = `${place * STEP}px`;
    this.#seen.set(place, button);
    const next = [...this.#seen.keys()].filter((other) => other > place).sort((one, other) => one - other)[0];
    this.#track.insertBefore(button, this.#seen.get(next) ?? null);
    this.#small.want(file, (small) => {
      if (this.#seen.get(place) !== button) return;
      if (!small) button.append(make("span", { "aria-hidden": "true" }, "?"));
      else {
        const copy = Object.assign(document.createElement("canvas"), { width: small.width, height: small.height });
        copy.getContext("2d").drawImage(small, 0, 0);
        button.append(copy);
      }
    });
  }

  #drop(place) {
    this.#small.leave(this.#pictures[place].file);
    this.#seen.get(place).remove();
    this.#seen.delete(place);
  }

  #say() {
    const count = this.#pictures.length;
    for (const [place, button] of this.#seen) {
      const { file, name } = this.#pictures[place];
      const state = markOf(file);
      button.dataset.state = state;
      button.setAttribute("aria-label", `${place + 1} of ${count}: ${name}, ${STATES[state]}`);
      button.tabIndex = place === Math.max(0, this.#at) ? 0 : -1;
      if (place === this.#at) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    const counted = (state) => this.#pictures.filter(({ file }) => markOf(file) === state).length;
    const failed = counted("failed") ? `, ${counted("failed")} failed` : "";
    byId("strip-said").textContent =
      count && `Picture ${this.#at + 1} of ${count}. ${counted("done")} answered${failed}.`;
    byId("strip-all").textContent = this.#running ? "Stop" : "Ask about all";
    byId("strip-back").setAttribute("aria-disabled", String(this.#at <= 0));
    byId("strip-on").setAttribute("aria-disabled", String(this.#at >= count - 1));
  }

  #hearKey(event) {
    const last = this.#pictures.length - 1;
    const place = { ArrowLeft: this.#at - 1, ArrowRight: this.#at + 1, Home: 0, End: last }[event.key];
    if (place === undefined) return;
    event.preventDefault();
    this.#pick(place);
    this.#seen.get(this.#at)?.focus({ preventScroll: true });
  }

  /** From anywhere on the page, except where the keys mean something else. */
  #hearPage(event) {
    const by = { PageUp: -1, PageDown: 1 }[event.key];
    if (!by || !this.#pictures.length || byId("picture-tools").hidden || event.defaultPrevented) return;
    if (event.target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, .scroll")) return;
    event.preventDefault();
    this.step(by);
  }

  #placeOf(element) {
    return this.#track.contains(element) ? Number(element.dataset.place) : -1;
  }
}
