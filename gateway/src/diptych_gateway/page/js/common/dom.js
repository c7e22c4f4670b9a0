/** Elements without markup: whatever text a user or a server wrote stays text. */

/**
 * Makes an element. `on…` attributes take functions, `true` sets an attribute without a value,
 * `null`, `undefined` and `false` leave it away.
 *
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | null | undefined)} children strings become text
 * @returns {any} the element
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * The element with this id, which the page has.
 *
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element;
}

/**
 * A link if the address is one of the web, else its text.
 *
 * @param {string} address
 * @param {string} [text]
 * @returns {Node}
 */
export function link(address, text = address) {
  if (!/^https?:\/\//i.test(address)) return document.createTextNode(text);
  return make("a", { href: address, rel: "noopener noreferrer" }, text);
}

/** A count or an area as people write it: "1,234". @param {number} value */
export function grouped(value) {
  return Math.round(value).toLocaleString("en");
}
