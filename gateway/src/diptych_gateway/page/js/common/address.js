/** What is on screen, kept in the address, so that a view can be passed on. */

/** Bundled pictures, drawn by a program: the name in the address and what a person reads. */
export const SAMPLES = [
  { name: "figure", title: "A figure among shapes" },
  { name: "shapes", title: "Shapes on a plain ground" },
  { name: "crowd", title: "Many shapes" },
];

/**
 * @typedef {object} PageState
 * @property {string} view one of the names of the page's views
 * @property {string} task
 * @property {number} opacity in percent
 * @property {"0" | "1"} grey whether pictures are grey
 * @property {"0" | "1"} names whether names stand on them
 * @property {string} sample name of a bundled picture; "" for none or another
 * @property {string} without ids of models that are not shown, with commas between
 * @property {string} fold groups of rows of the models' table that were folded or unfolded, with commas between
 * @property {"0" | "1"} differ whether only rows are shown in which models differ
 * @property {string} objects what is pointed at, as `formatObjects` writes it
 * @property {number} score below which segments are left out, 0 to 1
 * @property {string} classes that are looked at, with commas between; "" for all
 * @property {number} iou from which two segments match, above 0 to 1
 */

/** @type {PageState} */
const START = {
  view: "side",
  task: "instance-segmentation",
  opacity: 75,
  grey: "0",
  names: "1",
  sample: SAMPLES[0].name,
  without: "",
  fold: "",
  differ: "0",
  objects: "",
  score: 0,
  classes: "",
  iou: 0.5,
};

/** @returns {PageState} what is left out or out of range is as at the start */
export function readState() {
  const query = new URLSearchParams(location.search);
  const number = (name, least, most) => {
    const value = Number(query.get(name) ?? START[name]);
    return value >= least && value <= most ? value : START[name];
  };
  return {
    view: query.get("view") ?? START.view,
    task: query.get("task") ?? START.task,
    opacity: number("opacity", 0, 100),
    grey: query.get("grey") === "1" ? "1" : "0",
    names: query.get("names") === "0" ? "0" : "1",
    sample: query.get("sample") ?? START.sample,
    without: query.get("without") ?? START.without,
    fold: query.get("fold") ?? START.fold,
    differ: query.get("differ") === "1" ? "1" : "0",
    objects: query.get("objects") ?? START.objects,
    score: number("score", 0, 1),
    classes: query.get("classes") ?? START.classes,
    iou: number("iou", 0.05, 1),
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
