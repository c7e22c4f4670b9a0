/** On a narrow screen one model is seen at a time; tabs say which. */

import { make } from "../common/dom.js";

export class Tabs {
  element = make("div", { class: "tabs", role: "group", "aria-label": "Model that is shown" });
  #front = "";

  /**
   * One tab for each panel. In front is the one that was chosen, else the first one whose model is asked.
   *
   * @param {import("./panel.js").Panel[]} all
   * @param {import("./panel.js").Panel[]} able those that have tabs
   * @param {(id: string) => string} nameOf
   */
  show(all, able, nameOf) {
    const chosen = able.find((panel) => panel.modelId === this.#front);
    const front = chosen ?? able.find((panel) => panel.state !== "idle") ?? able[0];
    for (const panel of all) panel.element.classList.toggle("behind", panel !== front);
    const focused = this.element.contains(document.activeElement);
    const tabs = able.map((panel) => {
      const choose = () => {
        this.#front = panel.modelId;
        this.show(all, able, nameOf);
      };
      const state = { type: "button", "aria-pressed": String(panel === front), onclick: choose };
      return make("button", state, nameOf(panel.modelId));
    });
    this.element.replaceChildren(...(able.length > 1 ? tabs : []));
    if (focused) tabs[able.indexOf(front)]?.focus();
  }
}
