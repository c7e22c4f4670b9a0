/** What a refusal says to a person, and what to do; the server's own words stay behind "Details". */

import { make } from "./dom.js";

const SOON = "Try again in a moment.";
const OTHER_FILE = "Open it in another program, save it as PNG or JPEG, and choose that.";

/** By reason, as the error table has them. */
const BY_REASON = {
  TOKEN_MISSING: "This gateway asks for a token. Enter the one that you were given.",
  TOKEN_INVALID: "This token is not known here. Check that all of it was copied, and enter it again.",
  TOKEN_SCOPE: "This token is for something else. Enter another one, or ask who runs the gateway.",
  RATE_LIMIT: "This token has used up what it may ask for at the moment.",
  ORIGIN_FOREIGN: "The gateway does not answer a page at this address. Who runs it can allow that: DIPTYCH_HTTP_ORIGINS.",
  IMAGE_UNREADABLE: `The model cannot read this picture: its file is damaged or of an unusual kind. ${OTHER_FILE}`,
  IMAGE_TOO_LARGE: "The picture has more pixels than the model takes. Make it smaller and choose it again.",
  IMAGE_SHAPE: "The picture is too small or too narrow for the model. Choose another one.",
  IMAGE_NOT_HELD: "The gateway does not hold this picture any more. Choose it again.",
  PROMPT_INVALID: "The model cannot use what was pointed at. Take away the last point or box, or point again.",
  PROMPT_UNSUPPORTED: "The model does not take this kind of prompt. Use points or a box.",
  OPTION_INVALID: "The gateway does not take this question. Reload the page, and check its address.",
  TASK_UNSUPPORTED: "The model does not do this task. Choose another one.",
  MODEL_UNKNOWN: "The gateway does not have this model (any more). Reload the page.",
  MODEL_LOADING: "The model cannot be reached: it is starting or down.",
  ENGINE_LOST: "The model broke off and is being started again.",
  DRAINING: "The server is stopping, perhaps to be started again.",
  QUEUE_FULL: "The model has as much to do as it takes on.",
  DEVICE_MEMORY: "The model has no memory left for this picture. Try again in a moment, or with a smaller one.",
  MODEL_FAILED: "The model failed on this. Try again; if it fails again, tell who runs it what the details say.",
  SESSION_LIMIT: "The model follows as many videos as it can. Stop another one, or try again later.",
  OBJECT_LIMIT: "The model follows no more objects than these at a time. Take one away first.",
  SESSION_ORDER: "The model has lost its place in the video. Start over.",
  SESSION_EXPIRED: "The model has given up this video, because nothing came for a while. Start over.",
  SESSION_LOST: "The model has lost this video. Start over.",
  FRAME_NOT_HELD: "The model does not hold this frame any more. Play on, and point at a newer one.",
  OBJECT_UNKNOWN: "The model does not follow this object. Point at it again.",
  DEADLINE: "The answer took longer than allowed. Try again, or with a smaller picture.",
};
/** Where there is no reason: by status, or by the code that a model's own error has. */
const BY_STATUS = {
  401: BY_REASON.TOKEN_INVALID,
  403: BY_REASON.TOKEN_SCOPE,
  404: BY_REASON.MODEL_UNKNOWN,
  413: "The file is larger than what can be sent, which is 32 MiB. Save it smaller, as JPEG for example.",
  429: BY_REASON.QUEUE_FULL,
  503: BY_REASON.MODEL_LOADING,
  504: BY_REASON.DEADLINE,
};
const BY_CODE = {
  DEADLINE_EXCEEDED: BY_REASON.DEADLINE,
  RESOURCE_EXHAUSTED: BY_STATUS[413],
  UNAVAILABLE: BY_REASON.MODEL_LOADING,
};
/** Reasons after which the same question may be answered later: with the time, if the server says one. */
const PASSING = ["RATE_LIMIT", "MODEL_LOADING", "ENGINE_LOST", "DRAINING", "QUEUE_FULL"];
/** Reasons after which the same question will be refused again. */
const LASTING = /^(IMAGE_(UNREADABLE|TOO_LARGE|SHAPE)|PROMPT_|OPTION_|TASK_|MODEL_UNKNOWN|TOKEN_SCOPE|ORIGIN_)/;

/**
 * @typedef {object} Refusal
 * @property {string} said sentences for a person
 * @property {string} details what the server said, and the request's id; "" if there is no more to say
 * @property {boolean} again whether it makes sense to ask the same again
 */

/**
 * @param {any} document a problem document or the error of one model
 * @param {number} [status] of the answer
 * @returns {Refusal}
 */
export function refusal(document, status = 0) {
  const { reason = "", code = "", request_id: id } = document;
  const own = document.detail || document.message || document.title || "";
  // Something between may answer too, in words of its own.
  const known = BY_REASON[reason] ?? (own && BY_STATUS[document.status ?? status]) ?? BY_CODE[code];
  const said = withFigures(reason, own) ?? (known || strange(status));
  return {
    said: PASSING.includes(reason) ? `${said} ${waiting(document.retry_after_s)}` : said,
    details: [own, reason && `(${reason})`, id && `Request ${id}`].filter(Boolean).join(" "),
    again: !LASTING.test(reason) && status !== 413,
  };
}

/** A sentence, and what the server said behind a word that opens it. @param {Refusal} what @returns {Node[]} */
export function withDetails({ said, details }) {
  const more = details && make("details", { class: "own-words" }, make("summary", {}, "Details"), make("code", {}, details));
  return [document.createTextNode(said), ...(more ? [document.createTextNode(" "), more] : [])];
}

/** The sentence of a reason, with figures or a case that only the server's own words tell. */
function withFigures(reason, own) {
  if (reason === "TOKEN_INVALID" && /expired/.test(own)) {
    return "This token has expired. Ask who runs the gateway for a new one, and enter that.";
  }
  const [, most, width, height = "1"] = own.match(/at most (\d+) pixels, got (\d+)(?: x (\d+))?/) ?? [];
  if (reason !== "IMAGE_TOO_LARGE" || !most) return null;
  const [has, takes] = [Number(width) * Number(height), Number(most)].map((count) => (count / 1e6).toFixed(1));
  return `The picture has ${has} million pixels, and the model takes ${takes}. Make it smaller and choose it again.`;
}

function waiting(seconds) {
  return seconds > 3 ? `Try again in ${Math.ceil(seconds)} s.` : SOON;
}

function strange(status) {
  if (status >= 500) return `What stands before the gateway answered with status ${status}. ${SOON}`;
  return `The gateway answered with ${status ? `status ${status}` : "something else than expected"}. Reload the page.`;
}
