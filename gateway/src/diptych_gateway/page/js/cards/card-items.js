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
  if (kind === "prose") return prose(text);
  const found = [url ? link(url, text) : text];
  if (digest) found.push(make("code", { title: digest }, ` sha256 ${digest.slice(0, DIGEST_SHOWN)}…`));
  if (note) found.push(make("small", {}, ...withLinks(note)));
  return found;
}

/** @param {string} text @returns {(Node | string)[]} */
function withLinks(text) {
  return text.split(/(https?:\/\/\S+)/).map((part) => link(part));
}
