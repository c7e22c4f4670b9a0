/** The table that compares all models, row by row, as the gateway tells it. */

import { readState, writeState } from "../common/address.js";
import { fetchCards } from "../common/api.js";
import { cardsTable, groupsOf } from "./cards-table.js";
import { byId, make } from "../common/dom.js";

/** So many groups are open at first: those that pages of this kind begin with, and the figures. */
const OPEN = 3;

/** @implements {import("../views.js").View} */
export class CardsView {
  #seen = false;
  #turn = 0;
  #onError;
  /** @type {import("./cards-table.js").Group[]} */
  #groups = [];

  /** @param {(error: Error) => void} onError hears of refused requests */
  constructor(onError) {
    this.#onError = onError;
    byId("cards-differ").addEventListener("change", ({ target }) => {
      writeState({ differ: target.checked ? "1" : "0" });
      this.#fold();
    });
    byId("cards-all").addEventListener("click", () => {
      const open = this.#groups.some((group) => !group.isOpen);
      this.#write((group) => (open ? !opensFirst(group, this.#groups) : opensFirst(group, this.#groups)));
    });
  }

  /** Asks each time: what the models measured changes with every request. */
  show() {
    this.#seen = true;
    this.#fold();
    this.#ask();
  }

  hide() {
    this.#seen = false;
  }

  take() {
    if (this.#seen) this.#ask();
  }

  async #ask() {
    const turn = ++this.#turn;
    try {
      const table = await fetchCards();
      if (turn === this.#turn) this.#show(table);
    } catch (error) {
      if (turn !== this.#turn) return;
      byId("cards").replaceChildren(make("p", { class: "problem" }, error.message));
      this.#onError(error);
    }
  }

  /** @param {import("../common/api.js").CardsTable} table */
  #show(table) {
    const box = byId("cards");
    const { scrollLeft, scrollTop } = box;
    const focused = document.activeElement?.closest("#cards [data-group]")?.dataset.group;
    this.#groups = groupsOf(table, (toggled) => {
      this.#write((group) => isTurned(group) !== (group === toggled));
    });
    box.replaceChildren(table.models.length ? cardsTable(table, this.#groups) : "");
    this.#fold();
    Object.assign(box, { scrollLeft, scrollTop });
    this.#groups.find(({ name }) => name === focused)?.button.focus();
  }

  /** @param {(group: import("./cards-table.js").Group) => boolean} turned folded otherwise than at first */
  #write(turned) {
    writeState({ fold: this.#groups.filter(turned).map(({ name }) => name).join(",") });
    this.#fold();
  }

  /** As the address says. */
  #fold() {
    const differ = readState().differ === "1";
    byId("cards-differ").checked = differ;
    for (const group of this.#groups) {
      group.show(isTurned(group) !== opensFirst(group, this.#groups), differ);
    }
    byId("cards-all").textContent = this.#groups.every(({ isOpen }) => isOpen) ? "Fold all" : "Unfold all";
  }
}

function isTurned({ name }) {
  return readState().fold.split(",").includes(name);
}

function opensFirst(group, groups) {
  return groups.indexOf(group) < OPEN;
}
