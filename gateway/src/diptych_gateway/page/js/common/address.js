/** What is on screen, kept in the address, so that a view can be passed on. */

/**
 * @typedef {object} PageState
 * @property {string} view one of the names of the page's views
 * @property {string} task
 * @property {number} opacity in percent
 * @property {"0" | "1"} grey whether pictures are grey
 * @property {"0" | "1"} names whether names stand on them
 * @property {string} sample name of a bundled picture; "" for none or another
 * @property {string} without ids of models that are not shown, with commas between
 * @property {string} objects what is pointed at, as `formatObjects` writes it
 */

/** @type {PageState} */
const START = {
  view: "side",
  task: "instance-segmentation",
  opacity: 75,
  grey: "0",
  names: "1",
  sample: "figure",
  without: "",
  objects: "",
};

/** @returns {PageState} what is left out or out of range is as at the start */
export function readState() {
  const query = new URLSearchParams(location.search);
  const opacity = Number(query.get("opacity") ?? START.opacity);
  return {
    view: query.get("view") ?? START.view,
    task: query.get("task") ?? START.task,
    opacity: opacity >= 0 && opacity <= 100 ? opacity : START.opacity,
    grey: query.get("grey") === "1" ? "1" : "0",
    names: query.get("names") === "0" ? "0" : "1",
    sample: query.get("sample") ?? START.sample,
    without: query.get("without") ?? START.without,
    objects: query.get("objects") ?? START.objects,
  };
}

let last = readState();

/**
 * @param {Partial<PageState>} change
 * @param {{step?: boolean, picture?: number}} [how] `step`: the browser's back button undoes it;
 *   `picture`: number of one that is in no address
 */
export function writeState(change, { step = false, picture = history.state?.picture } = {}) {
  const state = (last = { ...readState(), ...change });
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value !== START[name]) query.set(name, String(value));
  }
  // These may stay as they are, and shorter addresses are read more easily.
  const text = query.toString().replace(/%2C|%2F|%3B/g, decodeURIComponent);
  const url = text ? `?${text}` : location.pathname;
  if (step) history.pushState({ picture }, "", url);
  else history.replaceState({ picture }, "", url);
}

/** After the browser went back or forward: how things are shown is no step, so it stays. */
export function keepSettings() {
  const { opacity, grey, names, without } = last;
  writeState({ opacity, grey, names, without });
}
