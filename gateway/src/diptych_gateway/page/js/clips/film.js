/** Pictures one after the other as a video file, in a format that this browser writes. */

const TYPES = ["video/mp4;codecs=avc1", "video/mp4", "video/webm;codecs=vp9", "video/webm"];
const BITS_PER_PIXEL = 0.25;
const MIN_BITS = 2.5e6;
/** An encoder has taken a picture after so long. */
const TAKEN_MS = 20;

/** @returns {{type: string, name: string, suffix: string} | null} `null` where browsers write none */
export function filmFormat() {
  const type = window.MediaRecorder && TYPES.find((one) => MediaRecorder.isTypeSupported(one));
  if (!type) return null;
  return type.startsWith("video/mp4") ? { type, name: "MP4", suffix: "mp4" } : { type, name: "WebM", suffix: "webm" };
}

/**
 * Writes as long as the film lasts. While a picture is being made the recorder rests, so each is seen as
 * long as it is to be, however long it took to make.
 *
 * @param {object} film
 * @param {HTMLCanvasElement} film.canvas of even sides
 * @param {number[]} film.seconds how long each picture is seen
 * @param {(at: number) => Promise<void>} film.draw the n-th one on the canvas
 * @param {(done: number) => void} film.onProgress
 * @param {AbortSignal} film.signal
 * @returns {Promise<Blob>}
 */
export async function writeFilm({ canvas, seconds, draw, onProgress, signal }) {
  const { type } = filmFormat();
  const stream = canvas.captureStream(0);
  const [track] = /** @type {CanvasCaptureMediaStreamTrack[]} */ (stream.getVideoTracks());
  const rate = 1 / Math.min(...seconds);
  const videoBitsPerSecond = Math.max(MIN_BITS, canvas.width * canvas.height * rate * BITS_PER_PIXEL);
  const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond });
  const parts = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  const stopped = new Promise((resolve, reject) => {
    recorder.addEventListener("stop", resolve);
    recorder.addEventListener("error", () => reject(new Error("The browser could not write the film.")));
  });
  try {
    await draw(0);
    recorder.start(1000);
    for (let at = 0; at < seconds.length; at += 1) {
      if (at) {
        recorder.pause();
        await draw(at);
        recorder.resume();
      }
      signal.throwIfAborted();
      track.requestFrame();
      await after(Math.max(TAKEN_MS, 1000 * seconds[at]));
      onProgress(at + 1);
    }
    // The last picture lasts as long as the others only if something follows.
    track.requestFrame();
    await after(TAKEN_MS);
  } finally {
    if (recorder.state !== "inactive") recorder.stop();
    track.stop();
  }
  await stopped;
  return new Blob(parts, { type });
}

function after(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
