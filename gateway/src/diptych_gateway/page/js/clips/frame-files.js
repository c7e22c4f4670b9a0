/** Files that together are a clip: which of them, in which order; nothing is read here. */

/** As the command line has it, so that frames have the same numbers in both. */
const PICTURE = /\.(?:jpe?g|png|webp|hei[cf]|avif|tiff?|bmp|gif)$/i;

/**
 * @typedef {object} FrameFile
 * @property {string} name
 * @property {() => Promise<File>} open
 */

/**
 * @typedef {object} Found
 * @property {string} name of the folder, "" for files that were chosen one by one
 * @property {FrameFile[]} frames in the order of their numbers
 * @property {number} skipped files that are no pictures
 * @property {string[]} folders that lie in it, and are not looked into
 */

/** @param {Iterable<File>} files of a folder that was chosen, or several files @returns {Found} */
export function framesOfFiles(files) {
  const folders = new Set();
  const direct = [];
  let name = "";
  for (const file of files) {
    const parts = file.webkitRelativePath.split("/");
    if (parts.length > 1) name = parts[0];
    if (parts.length > 2) folders.add(parts[1]);
    else direct.push({ name: file.name, open: async () => file });
  }
  return found(name, direct, [...folders]);
}

/**
 * What was dropped, read before the event is over.
 *
 * @param {DataTransfer} dropped
 * @returns {Promise<Found> | null} `null` if it is one file, or none
 */
export function framesOfDrop(dropped) {
  const [entry] = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entry?.isDirectory) return framesOfFolder(/** @type {FileSystemDirectoryEntry} */ (entry));
  return dropped.files.length > 1 ? Promise.resolve(framesOfFiles(dropped.files)) : null;
}

/** @param {FileSystemDirectoryEntry} folder */
async function framesOfFolder(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (;;) {
    // Browsers give some hundred at a time.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    entries.push(...some);
  }
  const open = (entry) => () => new Promise((resolve, reject) => entry.file(resolve, reject));
  const files = entries.filter((entry) => entry.isFile);
  const folders = entries.filter((entry) => entry.isDirectory).map((entry) => entry.name);
  const direct = files.map((entry) => ({ name: entry.name, open: open(entry) }));
  return found(folder.name, direct, folders);
}

/** @returns {Found} */
function found(name, files, folders) {
  const frames = inOrder(files.filter((file) => PICTURE.test(file.name) && !file.name.startsWith(".")));
  return { name, frames, skipped: files.length - frames.length, folders: folders.toSorted() };
}

/**
 * `frame2` before `frame10`; by characters where only zeros differ.
 *
 * @template {{name: string}} T
 * @param {T[]} files
 * @returns {T[]}
 */
export function inOrder(files) {
  const keyed = files.map((file) => ({ file, key: [...file.name.matchAll(/([^0-9]*)([0-9]*)/g)].map(part) }));
  keyed.sort((one, other) => compared(one.key, other.key) || order(one.file.name, other.file.name));
  return keyed.map(({ file }) => file);
}

/** Numbers may be longer than those that JavaScript counts with. */
function part([, text, digits]) {
  const number = digits.replace(/^0+(?=.)/, "");
  return { text, size: number.length, number };
}

function compared(one, other) {
  for (let at = 0; at < one.length && at < other.length; at += 1) {
    const [a, b] = [one[at], other[at]];
    const differs = order(a.text, b.text) || a.size - b.size || order(a.number, b.number);
    if (differs) return differs;
  }
  return one.length - other.length;
}

function order(one, other) {
  return one < other ? -1 : Number(one > other);
}
