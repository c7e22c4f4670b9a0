/**
 * The views of the page: which one is seen. Each is loaded when somebody first looks at it.
 *
 * A further view is a class that implements `View`, one entry in the list of `main.js`, and in
 * `index.html` a section and a link with its ids.
 */

import { readState, writeState } from "./common/address.js";
import { byId, make } from "./common/dom.js";

/**
 * @typedef {object} Entry what is known of a view before it is loaded
 * @property {string} id its section is `#ID-view`, its link `#to-ID`
 * @property {string[]} names values of `view` in the address that are its own; the link leads to the first
 * @property {boolean} onPicture it shows the chosen picture
 * @property {boolean} [looks] it shows something else, as `takeLook` says
 * @property {string} [module] what is loaded, from here, if `view` does not hold it already
 * @property {string} [style] a stylesheet of its own
 * @property {(module: any) => View} [make]
 * @property {View} [view] once it is there
 */

/**
 * @typedef {object} View
 * @property {import("./canvas/viewport.js").Viewport} [viewport] of what it shows instead of the picture
 * @property {(state: import("./common/address.js").PageState) => void} show it is seen now, or its address has changed
 * @property {() => void} [hide] it is not seen any more
 * @property {(known: Known) => void} [take] there are other models, or there is another picture
 * @property {(share: number) => void} [takeOpacity] of masks, 0 to 1
 * @property {(look: Look) => void} [takeLook] how pictures are shown
 * @property {() => Question | null} [question] what it asked last; `null` if nothing can be asked
 * @property {() => Shown[]} [answers] what it shows, in the order of the models
 * @property {(segment: {score: number, document: any}) => boolean} [passes] whether it would show one of another answer
 */

/**
 * @typedef {object} Look
 * @property {boolean} grey the picture without its own colours, so that those of masks are seen
 * @property {boolean} names names and scores stand on the picture
 */

/**
 * @typedef {object} Question what `streamCompare` takes
 * @property {{file: Blob, name: string, source?: Blob}} picture answers about a `source` are kept
 * @property {{task: string, models: string[], prompts?: any[]}} options
 * @property {Pick[]} [picks] of some prompts another candidate than the best is shown
 */

/**
 * @typedef {object} Pick
 * @property {string} model
 * @property {number} prompt which of the prompts
 * @property {number} candidate 0 is the best
 * @property {any} seed the prompt that it is a candidate for
 * @property {any} further what was said after it was chosen; `null` for nothing
 */

/**
 * @typedef {object} Shown one model's answer as it is on screen
 * @property {string} name of the model
 * @property {import("./canvas/segments.js").Answer} answer
 * @property {[number, number][]} edges between body points
 * @property {(index: number) => string} colorOf `#rrggbb` of a segment
 * @property {(index: number) => boolean} isShown
 */

/**
 * @typedef {object} Known
 * @property {{model_id: string, card: any, error: any}[]} models in the gateway's order
 * @property {{model_id: string, card: any, error: any}[]} chosen those of them that are looked at
 * @property {import("./common/picture.js").Picture | null} picture its bitmap lives until the next one is taken
 */

export class Views {
  /** @type {Entry[]} */
  #entries;
  /** @type {Entry | null} */
  #seen = null;
  #onSeen;
  /** What a view is told that is loaded later. @type {{known?: Known, share?: number, look?: Look}} */
  #told = {};
  #tries = 0;

  /** @param {Entry[]} entries @param {(view: View) => void} onSeen */
  constructor(entries, onSeen) {
    this.#entries = entries;
    this.#onSeen = onSeen;
    for (const { id, names } of entries) {
      byId(`to-${id}`).addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return; // into a tab of its own
        event.preventDefault();
        writeState({ view: names[0] }, { step: true });
        this.show();
      });
    }
  }

  /** Shows the view of the address; the first one, if the address names none. */
  show() {
    let entry = this.#entries.find(({ names }) => names.includes(readState().view));
    if (!entry) {
      entry = this.#entries[0];
      writeState({ view: entry.names[0] });
    }
    if (this.#seen !== entry) this.#seen?.view?.hide?.();
    this.#seen = entry;
    this.#reveal(entry);
    this.#say();
    if (entry.view) this.#look(entry.view);
    else this.#load(entry);
  }

  /** @param {Known} known */
  take(known) {
    this.#told.known = known;
    for (const { view } of this.#entries) view?.take?.(known);
  }

  /** @param {number} share 0 to 1 */
  takeOpacity(share) {
    this.#told.share = share;
    for (const { view } of this.#entries) view?.takeOpacity?.(share);
  }

  /** @param {Look} look */
  takeLook(look) {
    this.#told.look = look;
    for (const { view } of this.#entries) view?.takeLook?.(look);
  }

  /** @param {View} view */
  #look(view) {
    view.show(readState());
    this.#onSeen(view);
  }

  /** A view that is not there yet leaves its room empty: nothing in it would answer. @param {Entry} seen */
  #reveal(seen) {
    for (const { id, view } of this.#entries) {
      byId(`${id}-view`).hidden = id !== seen.id || !view;
      if (id === seen.id) byId(`to-${id}`).setAttribute("aria-current", "page");
      else byId(`to-${id}`).removeAttribute("aria-current");
    }
    byId("picture-tools").hidden = !seen.onPicture && !seen.looks;
    for (const element of document.querySelectorAll("[data-only]")) {
      element.hidden = !element.dataset.only.split(" ").includes(seen.id);
    }
  }

  /** @param {Entry} entry @param {string} [again] makes the address another: a browser keeps what failed */
  async #load(entry, again = "") {
    this.#say("Loading …");
    const loaded = await Promise.all([import(entry.module + again), dress(entry.style)]).catch((error) => {
      if (error instanceof SyntaxError) throw error;
    });
    if (!loaded) {
      if (this.#seen === entry) this.#say("This view cannot be loaded. Is the gateway running?", entry);
      return;
    }
    if (!entry.view) this.#tell((entry.view = entry.make(loaded[0])));
    if (this.#seen === entry) this.show();
  }

  /** @param {View} view */
  #tell(view) {
    const { known, share, look } = this.#told;
    if (share !== undefined) view.takeOpacity?.(share);
    if (look) view.takeLook?.(look);
    if (known) view.take?.(known);
  }

  /** @param {string} [text] @param {Entry} [failed] can be tried again */
  #say(text = "", failed) {
    const again = () => {
      this.#tries += 1;
      this.#load(failed, `?again=${this.#tries}`);
    };
    byId("view-state").replaceChildren(
      text,
      ...(failed ? [" ", make("button", { type: "button", onclick: again }, "Try again")] : []),
    );
  }
}

/** @param {string} [href] of a stylesheet @returns {Promise<void>} it is there */
export function dress(href) {
  if (!href || document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const link = make("link", {
      rel: "stylesheet",
      href,
      onload: () => resolve(),
      onerror: (event) => {
        link.remove();
        reject(event);
      },
    });
    document.head.append(link);
  });
}
