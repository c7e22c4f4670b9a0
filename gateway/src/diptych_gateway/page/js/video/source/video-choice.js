/** Ways to choose a video: a file, one that is dropped, the sample, the camera. */

import { byId } from "../../common/dom.js";
import { CameraSource } from "./camera-source.js";
import { ClipSource } from "./clip-source.js";

const SAMPLE = "samples/clip.webm";

/** @typedef {(place: HTMLElement) => Promise<import("./clip-source.js").Source>} Open it throws an Error whose message is a sentence */

/** @param {(open: Open) => void} onOpen @param {(text: string) => void} onLost a camera is gone */
export function offerVideos(onOpen, onLost) {
  const openFile = (file) => onOpen((place) => ClipSource.open(place, file, file.name));
  const input = byId("video-file");
  input.addEventListener("change", () => {
    if (input.files[0]) openFile(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  byId("video-view").addEventListener("drop", (event) => {
    const dropped = event.dataTransfer?.files[0];
    if (!dropped) return;
    event.preventDefault();
    event.stopPropagation();
    document.body.classList.remove("dropping");
    openFile(dropped);
  });
  byId("video-sample").addEventListener("click", () => onOpen(openSample));
  byId("video-camera").addEventListener("click", () => onOpen((place) => CameraSource.open(place, onLost)));
}

/** @type {Open} */
async function openSample(place) {
  const answer = await fetch(SAMPLE).catch(() => null);
  if (!answer?.ok) throw new Error("The sample cannot be loaded: the gateway cannot be reached.");
  return ClipSource.open(place, await answer.blob(), "The sample");
}
