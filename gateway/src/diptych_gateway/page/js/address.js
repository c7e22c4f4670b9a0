/** What is on screen, kept in the address, so that a view can be passed on. */

/**
 * @typedef {object} Place
 * @property {"side" | "wipe" | "difference" | "prompt" | "video" | "models"} view
 * @property {string} task
 * @property {number} opacity in percent
 * @property {string} sample name of a bundled picture, or ""
 * @property {string} objects what is pointed at, as `formatObjects` writes it
 */

const VIEWS = ["side", "wipe", "difference", "prompt", "video", "models"];

/** @type {Place} */
const START = { view: "side", task: "instance-segmentation", opacity: 75, sample: "", objects: "" };

/** @returns {Place} what cannot be used is as at the start */
export function readPlace() {
  const query = new URLSearchParams(location.search);
  const opacity = Number(query.get("opacity") ?? START.opacity);
  const view = query.get("view") ?? START.view;
  return {
    view: /** @type {Place["view"]} */ (VIEWS.includes(view) ? view : START.view),
    task: query.get("task") ?? START.task,
    opacity: opacity >= 0 && opacity <= 100 ? opacity : START.opacity,
    sample: query.get("sample") ?? START.sample,
    objects: query.get("objects") ?? START.objects,
  };
}

/**
 * @param {Partial<Place>} change
 * @param {{step?: boolean}} [how] `step`: the browser's back button undoes it
 */
export function writePlace(change, { step = false } = {}) {
  const place = { ...readPlace(), ...change };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(place)) {
    if (value !== START[name]) query.set(name, String(value));
  }
  // These may stay as they are, and shorter addresses are read more easily.
  const text = query.toString().replace(/%2C|%2F|%3B/g, decodeURIComponent);
  const url = text ? `?${text}` : location.pathname;
  if (step) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}
