/** A video element of one's own: when it has a picture, and of what time. */

import { make } from "../../common/dom.js";

/** A hidden tab presents nothing; what is shown then is what there is. */
const PRESENTED_MS = 1000;

/** @param {HTMLElement} place it is seen in, as browsers present no frames of one that is not */
export function makeVideo(place) {
  const video = make("video", { playsinline: true, "aria-label": "The video as it plays" });
  video.muted = true;
  place.replaceChildren(video);
  return video;
}

/** Firefox before 132 has no callback for frames. @param {HTMLVideoElement} video */
export function onPresented(video, next) {
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback((now, { mediaTime }) => next(mediaTime));
  else requestAnimationFrame(() => next(video.currentTime));
}

/**
 * Data that is loaded, or a time that is sought, has no picture before this.
 *
 * @param {HTMLVideoElement} video
 * @param {(time: number) => boolean} [isWanted]
 * @param {number} [atMost] milliseconds to wait for it
 * @returns {Promise<number>} the time of the picture, in seconds
 */
export function presented(video, isWanted = () => true, atMost = PRESENTED_MS) {
  return new Promise((resolve) => {
    let over = false;
    const end = (time) => {
      over = true;
      resolve(time);
    };
    setTimeout(() => end(video.currentTime), atMost);
    const next = (time) => {
      if (over) return;
      if (isWanted(time)) end(time);
      else onPresented(video, next);
    };
    onPresented(video, next);
  });
}

/** @param {HTMLVideoElement} video @returns {Promise<boolean>} whether it has a picture */
export function loaded(video) {
  return new Promise((resolve) => {
    const stop = new AbortController();
    const end = (plays) => () => {
      stop.abort();
      resolve(plays && video.videoWidth > 0);
    };
    video.addEventListener("loadeddata", end(true), { signal: stop.signal });
    video.addEventListener("error", end(false), { signal: stop.signal });
  });
}
