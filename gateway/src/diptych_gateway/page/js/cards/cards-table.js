/** The rows of the table in groups that can be folded. */

import { sentence } from "../common/api.js";
import { showItem } from "./card-items.js";
import { make } from "../common/dom.js";

/** What was measured here and what was published stand beside one another in each cell. */
const BESIDE = ["On this server", "Figures"];

/** One group: a line with its name, and its rows. */
export class Group {
  /** @type {HTMLElement[]} */
  #rows;
  #body;

  /**
   * @param {string} name
   * @param {{element: HTMLElement, differs: boolean}[]} rows
   * @param {number} columns
   * @param {(group: Group) => void} onToggle
   */
  constructor(name, rows, columns, onToggle) {
    this.name = name;
    this.#rows = rows;
    this.button = make("button", { type: "button", onclick: () => onToggle(this) }, name);
    this.line = make(
      "tbody",
      { class: "group", "data-group": name },
      make("tr", {}, make("th", { scope: "rowgroup", colspan: columns + 1 }, this.button)),
    );
    this.#body = make("tbody", {}, ...rows.map(({ element }) => element));
  }

  get elements() {
    return [this.line, this.#body];
  }

  get isOpen() {
    return !this.#body.hidden;
  }

  /** @param {boolean} open @param {boolean} differ only rows in which models differ */
  show(open, differ) {
    this.#body.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    for (const { element, differs } of this.#rows) element.hidden = differ && !differs;
    const left = this.#rows.filter(({ differs }) => differs).length;
    this.line.hidden = differ && !left;
  }
}

/**
 * @param {import("../common/api.js").CardsTable} table
 * @param {(group: Group) => void} onToggle
 * @returns {Group[]}
 */
export function groupsOf({ models, rows }, onToggle) {
  const names = [...new Set(rows.map((row) => row.group))];
  const members = (name) => rows.filter((row) => row.group === name);
  const [first, second] = BESIDE;
  const both = BESIDE.every((side) => names.includes(side));
  return names
    .filter((name) => !both || name !== first)
    .map((name) => {
      const pair = both && name === second;
      const found = pair ? [pairRow(BESIDE.map(members), models)] : members(name).map((row) => plainRow(row, models));
      return new Group(name, found, models.length, onToggle);
    });
}

/** @param {import("../common/api.js").CardsTable} table @param {Group[]} groups @returns {HTMLElement} */
export function cardsTable({ models }, groups) {
  return make(
    "table",
    { class: "cards" },
    make("caption", { class: "unseen" }, "All models, row by row"),
    make("thead", {}, make("tr", {}, make("td"), ...models.map(head))),
    ...groups.flatMap(({ elements }) => elements),
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

function rowHead(name) {
  return make("th", { scope: "row" }, make("span", {}, name));
}

function plainRow(row, models) {
  const cells = models.map(({ model_id: id }, column) =>
    make("td", { "data-model": id }, ...cell(row, row.cells[column])),
  );
  return { element: make("tr", { "data-row": row.name }, rowHead(row.name), ...cells), differs: differs(row) };
}

/** One line: in each cell the rows of one group beside those of the other. */
function pairRow(sides, models) {
  const cells = models.map(({ model_id: id }, column) =>
    make("td", { "data-model": id }, make("div", { class: "beside" }, ...sides.map((rows) => side(rows, column)))),
  );
  const name = "Measured here, and published";
  return { element: make("tr", {}, rowHead(name), ...cells), differs: sides.flat().some(differs) };
}

function side(rows, column) {
  const parts = rows.flatMap((row) => [
    make("dt", {}, row.name),
    make("dd", { "data-row": row.name }, ...cell(row, row.cells[column])),
  ]);
  return make("dl", {}, ...parts);
}

function differs({ cells }) {
  return cells.some((one) => JSON.stringify(one) !== JSON.stringify(cells[0]));
}

/** @returns {(Node | string)[]} */
function cell({ kind }, items) {
  if (!items.length) return [make("span", { class: "unknown" }, "not stated")];
  const shown = items.map((item) => showItem(kind, item));
  if (kind === "list" || shown.length > 1) {
    return [make("ul", {}, ...shown.map((nodes) => make("li", {}, ...nodes)))];
  }
  return shown[0];
}
