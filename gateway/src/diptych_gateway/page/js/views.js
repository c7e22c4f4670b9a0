/** The views of the page: which one is seen. */

import { readPlace, writePlace } from "./address.js";
import { byId } from "./dom.js";

/**
 * @typedef {object} View
 * @property {string} id its section is `#ID-view`, its link `#to-ID`
 * @property {string[]} places values of `view` in the address that are its own; the link leads to the first
 * @property {boolean} onPicture it shows the chosen picture
 * @property {(place: import("./address.js").Place) => void} show it is seen now, or its address has changed
 * @property {() => void} [hide] it is not seen any more
 * @property {(known: Known) => void} [take] there are other models, or there is another picture
 * @property {(share: number) => void} [takeOpacity] of masks, 0 to 1
 * @property {() => Question | null} [question] what it asked last; `null` if nothing can be asked
 * @property {() => Shown[]} [answers] what it shows, in the order of the models
 */

/**
 * @typedef {object} Question what `streamCompare` takes
 * @property {{file: Blob, name: string}} picture
 * @property {{task: string, models: string[], prompts?: any[]}} options
 */

/**
 * @typedef {object} Shown one model's answer as it is on screen
 * @property {string} name of the model
 * @property {import("./segments.js").Answer} answer
 * @property {(index: number) => string} colorOf `#rrggbb` of a segment
 */

/**
 * @typedef {object} Known
 * @property {{model_id: string, card: any, error: any}[]} models in the gateway's order
 * @property {import("./picture.js").Picture | null} picture its bitmap lives until the next one is taken
 */

export class Views {
  /** @type {View[]} */
  #views;
  /** @type {View | null} */
  #seen = null;

  /** @param {View[]} views */
  constructor(views) {
    this.#views = views;
    for (const { id, places } of views) {
      byId(`to-${id}`).addEventListener("click", (event) => {
        event.preventDefault();
        writePlace({ view: places[0] }, { step: true });
        this.show();
      });
    }
  }

  /** Shows the view of the address. */
  show() {
    const place = readPlace();
    const view = this.#views.find(({ places }) => places.includes(place.view)) ?? this.#views[0];
    for (const { id } of this.#views) {
      byId(`${id}-view`).hidden = id !== view.id;
      byId(`to-${id}`).toggleAttribute("aria-current", id === view.id);
    }
    byId("picture-tools").hidden = !view.onPicture;
    for (const element of document.querySelectorAll("[data-only]")) {
      element.hidden = element.dataset.only !== view.id;
    }
    if (this.#seen !== view) this.#seen?.hide?.();
    this.#seen = view;
    view.show(place);
  }

  /** @param {Known} known */
  take(known) {
    for (const view of this.#views) view.take?.(known);
  }

  /** @param {number} share 0 to 1 */
  takeOpacity(share) {
    for (const view of this.#views) view.takeOpacity?.(share);
  }
}
