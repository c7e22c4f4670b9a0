/** The table that compares all models, row by row, as the gateway tells it. */

import { fetchCards, sentence } from "../common/api.js";
import { showItem } from "./card-items.js";
import { byId, make } from "../common/dom.js";

/** @implements {import("../views.js").View} */
export class CardsView {
  #seen = false;
  #turn = 0;
  #onError;

  /** @param {(error: Error) => void} onError hears of refused requests */
  constructor(onError) {
    this.#onError = onError;
  }

  /** Asks each time: what the models measured changes with every request. */
  show() {
    this.#seen = true;
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
      if (turn === this.#turn) byId("cards").replaceChildren(table.models.length ? cardsTable(table) : "");
    } catch (error) {
      if (turn !== this.#turn) return;
      byId("cards").replaceChildren(make("p", { class: "problem" }, error.message));
      this.#onError(error);
    }
  }
}

/** @param {import("../common/api.js").CardsTable} table @returns {HTMLElement} */
function cardsTable({ models, rows }) {
  const groups = new Map();
  for (const row of rows) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  return make(
    "table",
    { class: "cards" },
    make("caption", { class: "unseen" }, "All models, row by row"),
    make("thead", {}, make("tr", {}, make("td"), ...models.map(head))),
    ...[...groups].map(([name, members]) => group(name, members, models)),
  );
}

function head({ model_id: id, name, problem }) {
  return make(
    "th",
    { scope: "col", "data-model": id },
    name,
    make("code", {}, id),
    problem ? make("small", { class: "problem" }, sentence(problem)) : null,
  );
}

function group(name, rows, models) {
  return make(
    "tbody",
    {},
    make("tr", { class: "group" }, make("th", { scope: "rowgroup", colspan: models.length + 1 }, name)),
    ...rows.map((row) =>
      make(
        "tr",
        { "data-row": row.name },
        make("th", { scope: "row" }, row.name),
        ...models.map(({ model_id: id }, column) =>
          make("td", { "data-model": id }, ...cell(row, row.cells[column])),
        ),
      ),
    ),
  );
}

/** @returns {(Node | string)[]} */
function cell({ kind }, items) {
  if (!items.length) return ["not stated"];
  const shown = items.map((item) => showItem(kind, item));
  if (kind === "list" || shown.length > 1) {
    return [make("ul", {}, ...shown.map((nodes) => make("li", {}, ...nodes)))];
  }
  return shown[0];
}
