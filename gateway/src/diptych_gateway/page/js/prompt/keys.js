/** The keys of the prompt view, and an overlay that lists them all. */

import { byId, make } from "../common/dom.js";

const TYPED = "textarea, select, input:not([type=checkbox], [type=radio], [type=range], [type=file])";
const REMOVES = ["Delete", "Backspace"];
/** Keys that stand for buttons. */
const BUTTONS = { n: "new-object", h: "hide", "?": "show-keys" };

const KEYS = [
  ["Pointing", [
    ["Click", "a point on the object; on a point or a ×: takes it away"],
    ["Right click, Alt and click, long touch", "a background point"],
    ["Drag", "a box; from a point, an edge or a handle: moves it"],
    ["1 2 3", "choose among the candidates for one point"],
    ["Del, Backspace", "takes away the mark under the pointer"],
    ["Ctrl Z, Ctrl Shift Z", "undo, redo"],
  ]],
  ["Objects", [
    ["N", "a new object"],
    ["O, Shift O", "the next object, the one before"],
    ["R", "its name"],
    ["H", "hides or shows it"],
  ]],
  ["Without a mouse", [
    ["Arrows", "move a crosshair, with Shift further"],
    ["Enter", "a point; with Shift or Alt a background point"],
    ["B", "begins and ends a box"],
    ["T, Shift T", "to the next point or handle, the one before"],
    ["G", "takes hold of it, and puts it down"],
    ["Esc", "gives up"],
  ]],
  ["Brush", [
    ["D, E, V", "brush, eraser, neither"],
    ["[ ]", "a smaller, a larger tip"],
    ["Enter", "puts the tip down and lifts it"],
    ["K", "keeps the mask as it is"],
  ]],
  ["Picture", [
    ["+ − 0, wheel", "zoom"],
    ["Space and drag, middle button, two fingers", "move it"],
    ["?", "this list"],
  ]],
];

/**
 * Listens wherever the focus is: who points with one hand has the other one on the keys.
 *
 * @param {{isSeen: () => boolean, next: (step: 1 | -1) => void, pick: (candidate: number) => boolean,
 *   remove: (element: HTMLElement) => boolean, press: (event: KeyboardEvent) => boolean}} does what keys do
 *   that stand for no button; whether they did
 */
export function listenToKeys({ isSeen, next, pick, remove, press }) {
  /** @type {HTMLDialogElement | null} */
  let dialog = null;
  byId("show-keys").addEventListener("click", () => {
    dialog ??= build();
    dialog.showModal();
  });
  const use = (event) => {
    const { key, shiftKey } = event;
    const name = key.toLowerCase();
    const button = buttonOf(event);
    if (button) byId(button).click();
    else if (REMOVES.includes(key)) return remove(event.target);
    else if (event.ctrlKey || event.metaKey || event.altKey) return press(event);
    else if (name === "o") next(shiftKey ? -1 : 1);
    else if (name === "r") byId("object-name").focus();
    else return pick(Number(key) - 1) || press(event);
    return true;
  };
  document.addEventListener("keydown", (event) => {
    if (!isSeen() || dialog?.open || event.defaultPrevented || event.target.closest?.(TYPED)) return;
    if (use(event)) event.preventDefault();
  });
}

/** @param {KeyboardEvent} event */
function buttonOf({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  const name = key.toLowerCase();
  if (altKey) return null;
  if (!ctrlKey && !metaKey) return BUTTONS[name];
  if (name === "z") return shiftKey ? "redo" : "undo";
  return name === "y" ? "redo" : null;
}

function build() {
  const element = make("dialog", { class: "keys", "aria-labelledby": "keys-title" });
  const close = make("button", { type: "button", onclick: () => element.close() }, "Close");
  const groups = KEYS.map(([title, keys]) =>
    make(
      "section",
      {},
      make("h3", {}, title),
      make("dl", {}, ...keys.flatMap(([key, what]) => [make("dt", {}, key), make("dd", {}, what)])),
    ),
  );
  element.append(
    make("header", {}, make("h2", { id: "keys-title" }, "Keys and gestures"), close),
    make("div", {}, ...groups),
  );
  // A click beside it closes it.
  element.addEventListener("click", (event) => event.target === element && element.close());
  document.body.append(element);
  return element;
}
