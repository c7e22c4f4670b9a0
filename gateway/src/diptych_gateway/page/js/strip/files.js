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

/**
 * @param {File[]} files that were chosen
 * @param {any[]} entries of a drop with folders, instead
 * @returns {Promise<Found>}
 */
export async function findPictures(files, entries) {
  const found = files.map((file) => ({ file, name: file.webkitRelativePath || file.name }));
  if (entries.length) found.length = 0;
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
  const pictures = seen.filter(({ file }) => isPicture(file));
  pictures.sort((one, other) => order.compare(one.name, other.name));
  const full = pictures.length > MAX_FILES || found.length > MAX_FILES;
  return { pictures: pictures.slice(0, MAX_FILES), skipped: seen.length - pictures.length, full };
}

function isPicture({ type, name }) {
  return type.startsWith("image/") ? type !== "image/svg+xml" : SUFFIXES.test(name);
}
