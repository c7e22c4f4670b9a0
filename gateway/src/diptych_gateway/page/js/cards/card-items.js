/** One thing that a cell of the table of cards says. */

import { link, make } from "../common/dom.js";
import { prose } from "../common/prose.js";

const DIGEST_SHOWN = 12;

/**
 * @param {"text" | "flag" | "list" | "prose"} kind
 * @param {{text: string, url: string, note: string, digest: string}} item
 * @returns {(Node | string)[]}
 */
export function showItem(kind, { text, url, note, digest }) {
  if (kind === "flag") return [make("span", { class: text }, text)];
  if (kind === "prose") return folded(prose(text));
  const found = [url ? link(url, text) : text];
  if (digest) found.push(make("code", { title: digest }, ` sha256 ${digest.slice(0, DIGEST_SHOWN)}…`));
  if (note) found.push(make("small", {}, ...withLinks(note)));
  return found;
}

/** The first paragraph says what it is; the others are one click away. @param {HTMLElement[]} paragraphs */
function folded([first, ...rest]) {
  return rest.length ? [first, make("details", {}, make("summary", {}, "More"), ...rest)] : [first];
}

/** @param {string} text @returns {(Node | string)[]} */
function withLinks(text) {
  return text.split(/(https?:\/\/\S+)/).map((part) => link(part));
}
