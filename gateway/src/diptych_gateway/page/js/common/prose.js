/** The little Markdown that cards use: paragraphs, bold, code. Everything else is text. */

import { make } from "./dom.js";

/**
 * @param {string} text
 * @returns {HTMLElement[]} paragraphs
 */
export function prose(text) {
  return text
    .split(/\n\s*\n/)
    .filter((paragraph) => paragraph.trim())
    .map((paragraph) => make("p", {}, ...inline(paragraph)));
}

/**
 * @param {string} text
 * @returns {(Node | string)[]}
 */
function inline(text) {
  return text.split(/(\*\*[^*]+\*\*|`[^`]+`)/).map((part) => {
    if (part.startsWith("**") && part.length > 4) return make("strong", {}, part.slice(2, -2));
    if (part.startsWith("`") && part.length > 2) return make("code", {}, part.slice(1, -1));
    return part;
  });
}
