/** The objects that are pointed at, as a list: which one is next, what each has, and away with it. */

import { byId, make } from "../common/dom.js";
import { color } from "../canvas/palette.js";
import { isCorrection, isEmpty } from "./prompts.js";

/**
 * @param {import("./prompts.js").Prompts} prompts
 * @param {{onChoose: (object: number) => void, onRemove: (object: number) => void,
 *   onRemoveBox: (object: number) => void}} hear
 */
export function showObjects(prompts, { onChoose, onRemove, onRemoveBox }) {
  const list = byId("objects");
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset : null;
  list.replaceChildren(
    ...prompts.objects.map((object, index) => {
      const name = [`Object ${index + 1}`, object.label].filter(Boolean).join(" ");
      const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.setProperty("--color", color(index));
      const choose = make(
        "button",
        {
          type: "button",
          "data-choose": index,
          "aria-pressed": String(index === prompts.current),
          onclick: () => onChoose(index),
        },
        swatch,
        `${name} `,
        make("small", {}, contents(object)),
      );
      const unbox = make(
        "button",
        {
          type: "button",
          "data-unbox": index,
          "aria-label": `Remove the box of object ${index + 1}`,
          onclick: () => onRemoveBox(index),
        },
        "box ×",
      );
      const remove = make(
        "button",
        {
          type: "button",
          "data-remove": index,
          "aria-label": `Remove object ${index + 1}`,
          onclick: () => onRemove(index),
        },
        "×",
      );
      return make("li", {}, choose, object.box && unbox, prompts.objects.length > 1 || !isEmpty(object) ? remove : null);
    }),
  );
  if (focused) refocus(list, focused, prompts.current);
}

/** Keeps the keyboard's place in a list that was made anew. */
function refocus(list, focused, current) {
  const same = Object.entries(focused).map(([name, value]) => `[data-${name}="${value}"]`);
  (list.querySelector(same.join("")) ?? list.querySelector(`[data-choose="${current}"]`))?.focus();
}

/** @param {import("./prompts.js").Wanted} object */
function contents(object) {
  if (isEmpty(object)) return "nothing yet";
  if (isCorrection(object)) return "needs a point on it, or a box";
  const count = object.points.length;
  const points = count === 1 ? "1 point" : `${count} points`;
  const mask = object.mask ? (object.keep ? "kept mask" : "mask") : "";
  return [count ? points : "", object.box ? "box" : "", mask].filter(Boolean).join(", ");
}
