/** Files and folders that were chosen or dropped, as pictures in the order of their names. */

/** More than a person goes through; each is a handle, not its bytes. */
const MAX_FILES = 10_000;
const SUFFIXES = /\.(jpe?g|png|webp|avif|gif|bmp|hei[cf]|tiff?)$/i;
const order = new Intl.Collator("en", { numeric: true });

/**
 * @typedef {object} Found
 * @property {{file: File, name: string}[]} pictures `name` has the folders below the chosen one
 * @property {number} skipped files that are no pictures; hidden ones are not counted
 * @property {boolean} full there were more than are taken
 */

/** @param {Iterable<File>} files of an input @returns {Found} */
export function fromInput(files) {
  return sorted([...files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
}

/** Of a drop, folders with what is in them. @param {DataTransfer} dropped @returns {Promise<Found>} */
export async function fromDrop(dropped) {
  // Asked for at once: what was dropped is gone after the event.
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return fromInput(dropped.files);
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return sorted(found);
}

async function walk(entry, found) {
  if (found.length > MAX_FILES || entry.name.startsWith(".")) return;
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file) found.push({ file, name: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) return;
    for (const inner of some) await walk(inner, found);
  }
}

/** @returns {Found} */
function sorted(found) {
  const seen = found.filter(({ name }) => !name.split("/").some((step) => step.startsWith(".")));
  // One alone is opened whatever it is: then it is said what is wrong with it.
  const pictures = found.length === 1 ? found : seen.filter(({ file }) => isPicture(file));
  pictures.sort((one, other) => order.compare(one.name, other.name));
  const skipped = found.length === 1 ? 0 : seen.length - pictures.length;
  return { pictures: pictures.slice(0, MAX_FILES), skipped, full: found.length > MAX_FILES };
}

function isPicture({ type, name }) {
  return type.startsWith("image/") ? type !== "image/svg+xml" : SUFFIXES.test(name);
}
