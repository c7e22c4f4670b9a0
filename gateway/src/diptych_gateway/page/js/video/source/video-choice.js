/** Ways to choose a video: a file, frames, what is dropped, the sample, the camera. */

import { framesOfDrop, framesOfFiles } from "../../clips/frame-files.js";
import { FrameFolder } from "../../clips/frame-folder.js";
import { byId } from "../../common/dom.js";
import { CameraSource } from "./camera-source.js";
import { ClipSource } from "./clip-source.js";

const SAMPLE = "samples/clip.webm";

/** @typedef {(place: HTMLElement) => Promise<import("./clip-source.js").Source>} Open it throws an Error whose message is a sentence */

/** @param {(open: Open) => void} onOpen @param {(text: string) => void} onLost a camera is gone */
export function offerVideos(onOpen, onLost) {
  const openFile = (file) => onOpen((place) => ClipSource.open(place, file, file.name));
  const openFrames = (found) => onOpen(async () => FrameFolder.open(await found));
  const openFiles = ([...files]) => {
    if (files.length > 1 || /^image\//.test(files[0]?.type)) openFrames(framesOfFiles(files));
    else if (files.length) openFile(files[0]);
  };
  const [input, folder] = [byId("video-file"), byId("video-folder-file")];
  const take = () => {
    openFiles(input.files);
    input.value = ""; // so that the same file can be chosen again
  };
  input.addEventListener("change", take);
  if (input.files.length) setTimeout(take); // chosen before this view was loaded
  byId("video-folder").addEventListener("click", () => folder.click());
  folder.addEventListener("change", () => {
    openFrames(framesOfFiles(folder.files));
    folder.value = "";
  });
  byId("video-view").addEventListener("drop", (event) => {
    const dropped = [...(event.dataTransfer?.files ?? [])];
    if (!dropped.length) return;
    event.preventDefault();
    event.stopPropagation();
    document.body.classList.remove("dropping");
    const frames = framesOfDrop(event.dataTransfer);
    if (frames) openFrames(frames);
    else openFiles(dropped);
  });
  byId("video-sample").addEventListener("click", () => onOpen(openSample));
  byId("video-camera").addEventListener("click", () => onOpen((place) => CameraSource.open(place, onLost)));
}

/** @type {Open} */
async function openSample(place) {
  const answer = await fetch(SAMPLE).catch(() => null);
  if (!answer?.ok) throw new Error("The sample cannot be loaded: the gateway cannot be reached.");
  const source = await ClipSource.open(place, await answer.blob(), "clip.webm");
  return Object.assign(source, { sample: true });
}
