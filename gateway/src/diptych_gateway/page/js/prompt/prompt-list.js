/** The objects that are pointed at, as a list: which one is next, what each has and is called, and away with it. */

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
  bringIntoSight(list, list.children[prompts.current]);
  const { label = "", hidden = false } = prompts.objects[prompts.current];
  const input = byId("object-name");
  if (document.activeElement !== input) input.value = label;
  input.placeholder = `Object ${prompts.current + 1}`;
  byId("hide").setAttribute("aria-pressed", String(hidden));
}

/**
 * What can be done with the current object beside pointing at it.
 *
 * @param {import("./prompts.js").Prompts} prompts
 * @param {(act: () => void) => void} onChange carries out a change of the prompts
 * @param {() => string[]} known names that models gave
 */
export function listenToObjects(prompts, onChange, known) {
  const put = (change) => onChange(() => prompts.put(prompts.current, { ...prompts.objects[prompts.current], ...change }));
  const input = byId("object-name");
  input.addEventListener("change", () => {
    const label = input.value.trim();
    const { label: before = "" } = prompts.objects[prompts.current];
    if (label !== before) put({ label: label || undefined, category: undefined });
  });
  input.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") input.value = prompts.objects[prompts.current].label ?? "";
    if (key === "Enter" || key === "Escape") document.querySelector("#prompt-panels .stage")?.focus();
  });
  input.addEventListener("focus", () => {
    const names = new Set([...prompts.objects.map(({ label }) => label), ...known()].filter(Boolean));
    byId("object-names").replaceChildren(...[...names].map((value) => make("option", { value })));
  });
  byId("hide").addEventListener("click", () => put({ hidden: !prompts.objects[prompts.current].hidden }));
  byId("objects").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.altKey) return;
    event.preventDefault();
    onChange(() => prompts.chooseNext(step));
    byId("objects").querySelector(`[data-choose="${prompts.current}"]`)?.focus();
  });
}

/** Scrolls the list alone: the page stays where it is. */
function bringIntoSight(list, item) {
  const [whole, part] = [list, item].map((element) => element.getBoundingClientRect());
  list.scrollLeft += Math.max(part.right - whole.right, 0) + Math.min(part.left - whole.left, 0);
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
  return [count ? points : "", object.box ? "box" : "", mask, object.hidden ? "hidden" : ""].filter(Boolean).join(", ");
}
