/** All keys of the prompt view, in one overlay. */

import { make } from "../common/dom.js";

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

/** @type {HTMLDialogElement | null} */
let dialog = null;

export function showKeys() {
  dialog ??= build();
  if (!dialog.open) dialog.showModal();
}

function build() {
  const close = make("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const groups = KEYS.map(([title, keys]) =>
    make(
      "section",
      {},
      make("h3", {}, title),
      make("dl", {}, ...keys.flatMap(([key, what]) => [make("dt", {}, key), make("dd", {}, what)])),
    ),
  );
  const element = make(
    "dialog",
    { class: "keys", "aria-labelledby": "keys-title" },
    make("header", {}, make("h2", { id: "keys-title" }, "Keys and gestures"), close),
    make("div", {}, ...groups),
  );
  // A click beside it closes it.
  element.addEventListener("click", (event) => event.target === element && element.close());
  document.body.append(element);
  return element;
}
