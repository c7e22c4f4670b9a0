/**
 * The views of the page: which one is seen.
 *
 * A further view is a class that implements `View`, one entry in the list of `main.js`, and in
 * `index.html` a section and a link with its ids.
 */

import { readState, writeState } from "./common/address.js";
import { byId } from "./common/dom.js";

/**
 * @typedef {object} View
 * @property {string} id its section is `#ID-view`, its link `#to-ID`
 * @property {string[]} names values of `view` in the address that are its own; the link leads to the first
 * @property {boolean} onPicture it shows the chosen picture
 * @property {boolean} [looks] it shows something else, as `takeLook` says
 * @property {import("./canvas/viewport.js").Viewport} [viewport] of what else it shows
 * @property {(state: import("./common/address.js").PageState) => void} show it is seen now, or its address has changed
 * @property {() => void} [hide] it is not seen any more
 * @property {(known: Known) => void} [take] there are other models, or there is another picture
 * @property {(share: number) => void} [takeOpacity] of masks, 0 to 1
 * @property {(look: Look) => void} [takeLook] how pictures are shown
 * @property {() => Question | null} [question] what it asked last; `null` if nothing can be asked
 * @property {() => Shown[]} [answers] what it shows, in the order of the models
 */

/**
 * @typedef {object} Look
 * @property {boolean} grey the picture without its own colours, so that those of masks are seen
 * @property {boolean} names names and scores stand on the picture
 */

/**
 * @typedef {object} Question what `streamCompare` takes
 * @property {{file: Blob, name: string}} picture
 * @property {{task: string, models: string[], prompts?: any[]}} options
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
  /** @type {View[]} */
  #views;
  /** @type {View | null} */
  #seen = null;

  #onSeen;

  /** @param {View[]} views @param {(view: View) => void} onSeen */
  constructor(views, onSeen) {
    this.#views = views;
    this.#onSeen = onSeen;
    for (const { id, names } of views) {
      byId(`to-${id}`).addEventListener("click", (event) => {
        event.preventDefault();
        writeState({ view: names[0] }, { step: true });
        this.show();
      });
    }
  }

  /** Shows the view of the address; the first one, if the address names none. */
  show() {
    let view = this.#views.find(({ names }) => names.includes(readState().view));
    if (!view) {
      view = this.#views[0];
      writeState({ view: view.names[0] });
    }
    for (const { id } of this.#views) {
      byId(`${id}-view`).hidden = id !== view.id;
      byId(`to-${id}`).toggleAttribute("aria-current", id === view.id);
    }
    byId("picture-tools").hidden = !view.onPicture && !view.looks;
    for (const element of document.querySelectorAll("[data-only]")) {
      element.hidden = !element.dataset.only.split(" ").includes(view.id);
    }
    if (this.#seen !== view) this.#seen?.hide?.();
    this.#seen = view;
    view.show(readState());
    this.#onSeen(view);
  }

  /** @param {Known} known */
  take(known) {
    for (const view of this.#views) view.take?.(known);
  }

  /** @param {number} share 0 to 1 */
  takeOpacity(share) {
    for (const view of this.#views) view.takeOpacity?.(share);
  }

  /** @param {Look} look */
  takeLook(look) {
    for (const view of this.#views) view.takeLook?.(look);
  }
}
