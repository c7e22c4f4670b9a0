/** In which forms what was found can be saved: those of the gateway, and two that the browser makes. */

import { exportFile, fetchFormats } from "../common/api.js";
import { readState } from "../common/address.js";
import { cutOuts } from "./cut-outs.js";
import { drawSideBySide } from "./overlay-png.js";

/**
 * @typedef {object} Format
 * @property {string} name
 * @property {string} title
 * @property {string} says what it keeps
 * @property {boolean} [polygons] whether a tolerance changes it
 * @property {boolean} [pixels] it needs the picture itself, so that of the one that is shown only
 */

/** @type {Format[]} */
const OWN = [
  {
    name: "picture",
    title: "Picture with masks (PNG)",
    says: "The picture as it is shown, the models side by side, with a legend.",
    pixels: true,
  },
  {
    name: "cut-outs",
    title: "Cut-outs (PNG)",
    says: "Each object cut out of the picture, transparent around it; a zip if there are several.",
    pixels: true,
  },
];

/** @returns {Promise<Format[]>} the most asked for first */
export async function listFormats() {
  const [first, ...others] = await fetchFormats();
  return [first, ...OWN, ...others].filter(Boolean);
}

/** @returns {Format[]} without the gateway */
export function ownFormats() {
  return OWN;
}

/**
 * @typedef {object} Wanted
 * @property {Format} format
 * @property {number} tolerance of polygons, in pixels
 * @property {string} stem of the file's name
 * @property {{picture: any, shown: import("../views.js").Shown[]}} here what is on screen
 * @property {{modelId: string, pictures: {name: string, answer: any}[]}[]} answers by model, as they came, without
 *   what is not shown
 */

/** @param {Wanted} wanted @returns {Promise<{blob: Blob, name: string}[]>} */
export async function makeFiles({ format, tolerance, stem, here, answers }) {
  const { picture, shown } = here;
  if (format.name === "picture") {
    const canvas = drawSideBySide(picture.bitmap, shown, readState().opacity / 100);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!blob) throw new Error("This picture is too large for the browser to write.");
    return [{ blob, name: `${stem}-compared.png` }];
  }
  if (format.name === "cut-outs") {
    const file = await cutOuts(picture.bitmap, shown, stem);
    if (!file) throw new Error("Nothing that is shown has a mask.");
    return [file];
  }
  const files = [];
  for (const { modelId, pictures } of answers) {
    const { blob, suffix } = await exportFile({ format: format.name, tolerance, pictures });
    files.push({ blob, name: `${stem}-${modelId}.${suffix}` });
  }
  return files;
}
