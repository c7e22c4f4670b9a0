/** The buttons of the dock: what they do, by keys too, and which of them can be used. */

import { byId } from "../common/dom.js";

/**
 * @typedef {object} Controls
 * @property {() => void} track
 * @property {() => void} play
 * @property {() => void} undo
 * @property {() => void} redo
 * @property {() => void} restart
 * @property {() => void} stop
 * @property {() => void} onMode models are to be asked in another way
 * @property {(all: boolean) => void} onAll everything is to be followed, or only what is pointed at
 * @property {(fps: number) => void} onRate of a folder of frames
 */

/** @param {Controls} does */
export function listenToControls({ onMode, onAll, onRate, ...does }) {
  for (const [name, act] of Object.entries(does)) byId(`video-${name}`).addEventListener("click", act);
  for (const name of ["both", "mode"]) byId(`video-${name}`).addEventListener("change", onMode);
  byId("video-all").addEventListener("change", () => onAll(wantsAll()));
  byId("video-fps").addEventListener("input", ({ target }) => target.value > 0 && onRate(Number(target.value)));
  byId("video-view").addEventListener("keydown", (event) => {
    const name = shortcut(event);
    if (!name || isTyped(event)) return;
    event.preventDefault();
    byId(`video-${name}`).click();
  });
}

/** Frames are dropped where models are slower than the video. */
export function isLive() {
  return byId("video-mode").value === "live";
}

export function wantsAll() {
  return byId("video-all").checked;
}

export function wantsBoth() {
  return byId("video-both").checked;
}

/**
 * @param {object} state
 * @param {string} state.kind of what goes on, "" for nothing
 * @param {import("./source/clip-source.js").Source | null} state.source
 * @param {boolean} state.opening
 * @param {boolean} state.held a frame stands still
 * @param {import("./told.js").Told} state.told
 * @param {{label: string, note: string, can: boolean}} state.next
 */
export function showControls({ kind, source, opening, held, told, next }) {
  byId("video-tools").hidden = !source && !opening;
  byId("video-tools").classList.toggle("opening", !source);
  byId("video-panels").hidden = !source;
  const tracks = kind === "every" || kind === "live";
  const able = {
    pointing: held,
    mode: !kind && !source?.live && Boolean(source?.play),
    both: !kind && !isLive(),
    all: !kind,
    undo: told.canUndo,
    redo: told.canRedo,
    track: tracks || (!kind && (next.can || Boolean(source?.live))),
    play: !tracks && source !== null,
  };
  for (const [name, can] of Object.entries(able)) byId(`video-${name}`).disabled = !can;
  byId("video-track").textContent = tracks ? "Pause" : next.label;
  byId("video-play").textContent = kind === "replay" ? "Pause" : "Play";
  byId("video-note").textContent = next.note;
  byId("video-rate").hidden = !source?.stored;
  if (source?.stored && Number(byId("video-fps").value) !== source.fps) byId("video-fps").value = source.fps;
}

/** Keys mean something else where something is written. @param {Event} event */
export function isTyped({ target }) {
  const plain = "input[type=range], input[type=checkbox], input[type=radio], input[type=file]";
  return target.matches("input, textarea, select") && !target.matches(plain);
}

/** The button that a key stands for. @param {KeyboardEvent} event */
function shortcut({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  const name = key.toLowerCase();
  if (altKey) return null;
  if (!ctrlKey && !metaKey) return name === "n" ? "new" : null;
  if (name === "z") return shiftKey ? "redo" : "undo";
  return name === "y" ? "redo" : null;
}
