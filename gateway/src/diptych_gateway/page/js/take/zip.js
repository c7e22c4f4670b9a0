/** Several files as one zip, stored as they are: what goes in is compressed already. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});
/** 1980-01-01, the first day that a zip knows, so that the same files are the same bytes. */
const FIRST_DAY = 0x21;
const UTF_8 = 0x800;

/** @param {{name: string, data: Uint8Array}[]} files @returns {Blob} */
export function zip(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const { name, data } of files) {
    const title = new TextEncoder().encode(name);
    const common = [20, UTF_8, 0, 0, FIRST_DAY, crcOf(data), data.length, data.length, title.length, 0];
    const head = fields("IHHHHHIIIHH", [0x04034b50, ...common]);
    parts.push(head, title, data);
    directory.push(fields("IHHHHHHIIIHHHHHII", [0x02014b50, 20, ...common, 0, 0, 0, 0, at]), title);
    at += head.length + title.length + data.length;
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const count = files.length;
  const end = fields("IHHHHIIH", [0x06054b50, 0, 0, count, count, size, at, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** Numbers of 2 bytes, "H", and of 4, "I", the lowest first, as Python's struct calls them. */
function fields(form, values) {
  const view = new DataView(new ArrayBuffer([...form].reduce((sum, kind) => sum + (kind === "I" ? 4 : 2), 0)));
  let at = 0;
  [...form].forEach((kind, index) => {
    if (kind === "I") view.setUint32(at, values[index], true);
    else view.setUint16(at, values[index], true);
    at += kind === "I" ? 4 : 2;
  });
  return new Uint8Array(view.buffer);
}

function crcOf(data) {
  let value = 0xffffffff;
  for (const byte of data) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
