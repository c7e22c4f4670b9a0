/** The table that compares all models, row by row. */

import { sentence } from "./api.js";
import { rowsFor } from "./card-rows.js";
import { byId, make } from "./dom.js";
import { modelName } from "./tasks.js";

/** @implements {import("./views.js").View} */
export class CardsView {
  id = "models";
  places = ["models"];
  onPicture = false;

  show() {}

  /** @param {import("./views.js").Known} known */
  take({ models }) {
    byId("cards").replaceChildren(models.length ? cardsTable(models) : "");
  }
}

/**
 * @param {{model_id: string, card: any, error: any}[]} models
 * @returns {HTMLElement}
 */
function cardsTable(models) {
  const rows = rowsFor(models.map((model) => model.card).filter(Boolean));
  const groups = new Map();
  for (const row of rows) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  return make(
    "table",
    { class: "cards" },
    make("caption", { class: "unseen" }, "All models, row by row"),
    make(
      "thead",
      {},
      make("tr", {}, make("td"), ...models.map((model) => head(model))),
    ),
    ...[...groups].map(([name, members]) => group(name, members, models)),
  );
}

function head(model) {
  const known = model.error ? sentence(model.error.message ?? "It cannot be reached") : "";
  return make(
    "th",
    { scope: "col", "data-model": model.model_id },
    modelName(model),
    make("code", {}, model.model_id),
    known ? make("small", { class: "problem" }, known) : null,
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
        ...models.map(({ card, model_id: id }) =>
          make("td", { "data-model": id }, ...(card ? row.show(card) : ["not known"])),
        ),
      ),
    ),
  );
}
