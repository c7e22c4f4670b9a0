/** The rows of the table that compares cards: a name, and what to show of one card. */

import { link, make } from "./dom.js";
import { inline, prose } from "./prose.js";
import { taskName } from "./tasks.js";

const MEGABYTE = 1e6;
const DIGEST_SHOWN = 12;
const TASKS = [
  "instance-segmentation",
  "object-detection",
  "keypoint-detection",
  "prompted-segmentation",
  "video-segmentation",
];
const PROMPTS = ["point", "box", "mask"];

/** @typedef {{group: string, name: string, show: (card: any) => (Node | string)[]}} Row */

/**
 * @param {any[]} cards all that there are: their tasks and features decide on the rows
 * @returns {Row[]}
 */
export function rowsFor(cards) {
  const features = [...new Set(cards.flatMap((card) => card.features))];
  const tasks = [...new Set([...TASKS, ...cards.flatMap((card) => card.tasks)])];
  return [
    row("Model", "Organisation", (card) => [card.organization]),
    row("Model", "Category", (card) => [card.category]),
    row("Model", "Modality", (card) => [card.modality]),
    row("Model", "Release date", (card) => [card.release_date]),
    row("Model", "Context window", (card) => [tokens(card.context_window)]),
    row("Model", "Parameters", parameters),
    row("Model", "Foundation model", (card) => [yesNo(card.foundation)]),
    row("Licences", "Code", (card) => [card.licenses.code]),
    row("Licences", "Weights", (card) => [card.licenses.weights]),
    row("Licences", "As published", (card) => [card.licenses.published]),
    ...tasks.map((task) => row("Tasks", taskName(task), (card) => [yesNo(card.tasks.includes(task))])),
    ...PROMPTS.map((kind) =>
      row("Prompts", `${kind} prompts`, (card) => [yesNo(card.prompt_kinds.includes(kind))]),
    ),
    row("Prompts", "Class labels", (card) => [labels(card.categories)]),
    ...features.map((name) => row("Features", name, (card) => [yesNo(card.features.includes(name))])),
    row("Weights", "Loaded", (card) => list(card.weights.map(weights))),
    row("Weights", "Made", (card) => [card.weights_date || "not known"]),
    row("Weights", "Tier", (card) => [card.tier]),
    row("Weights", "Others to load", (card) => list(card.variants.map(variant))),
    row("Figures", "Published", (card) => list(card.metrics.filter((m) => m.source).map(metric))),
    row("Figures", "Measured here", (card) => list(card.metrics.filter((m) => !m.source).map(metric))),
    row("About", "Overview", (card) => prose(card.overview)),
    row("About", "Intended uses", (card) => list(card.intended_uses.map(phrase))),
    row("About", "Limitations", (card) => list(card.limitations.map(phrase))),
    row("About", "References", (card) => list(card.references.map((address) => link(address)))),
  ];
}

/** @returns {Row} */
function row(group, name, show) {
  return { group, name, show };
}

function yesNo(value) {
  return make("span", { class: value ? "yes" : "no" }, value ? "yes" : "no");
}

function tokens(count) {
  return count === null ? "not applicable" : `${number(count)} tokens`;
}

function labels(categories) {
  if (!categories.length) return "none: it does not tell classes apart";
  const names = categories.slice(0, 8).map(({ name }) => name);
  const rest = categories.length > names.length ? ", …" : "";
  return `${categories.length}: ${names.join(", ")}${rest}`;
}

function parameters(card) {
  const counts = card.variants.map((other) => other.parameter_count).filter(Boolean);
  const range = counts.length
    ? `others to load: ${number(Math.min(...counts))} to ${number(Math.max(...counts))}`
    : "";
  return [number(card.parameter_count), ...(range ? [make("small", {}, range)] : [])];
}

function weights({ name, sha256, url, size_bytes: size }) {
  const digest = sha256
    ? make("code", { title: sha256 }, ` sha256 ${sha256.slice(0, DIGEST_SHOWN)}…`)
    : "";
  return make("span", {}, url ? link(url, name) : name, `, ${megabytes(size)}`, digest);
}

function variant({ name, parameter_count: count, size_bytes: size }) {
  return `${name}: ${number(count)} parameters, ${megabytes(size)}`;
}

function metric({ name, value, unit, dataset, source }) {
  const figure = `${name}: ${Number(value.toPrecision(6))} ${unit}${dataset ? ` on ${dataset}` : ""}`;
  if (!source) return figure;
  return make("span", {}, figure, make("small", {}, "Source: ", link(source)));
}

function phrase(text) {
  return make("span", {}, ...inline(text));
}

/** @param {(Node | string)[]} items */
function list(items) {
  if (!items.length) return ["–"];
  return [make("ul", {}, ...items.map((item) => make("li", {}, item)))];
}

function megabytes(bytes) {
  return `${(bytes / MEGABYTE).toFixed(1)} MB`;
}

function number(value) {
  return value.toLocaleString("en");
}
