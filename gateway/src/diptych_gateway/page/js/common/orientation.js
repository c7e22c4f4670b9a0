/** Which way a picture is up, as services read it: by EXIF, else by XMP, whatever the browser does. */

const ORIENTATION = 0x0112;
const SHORT = 3;
const LONG = 4;
const MAX_BLOCK_BYTES = 65_536;
const XMP = /tiff:Orientation(?:="|>)([0-9])/;
const EXIF_BLOCK = "Exif\0\0";
const JPEG_XMP = "http://ns.adobe.com/xap/1.0/\0";
const PNG_XMP = "XML:com.adobe.xmp\0";
const PNG_EXIF = "Raw profile type exif\0";

/**
 * @typedef {object} Block what a file says besides its pixels
 * @property {string} kind "exif", "xmp" or "profile", an EXIF block as ImageMagick writes it
 * @property {Uint8Array} data
 * @property {number} start of the part of the file that holds it
 * @property {number} end
 */

/** @param {Uint8Array} bytes @returns {"JPEG" | "PNG" | "WebP" | null} the formats that services read */
export function kindOf(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return "JPEG";
  if (bytes[0] === 0x89 && text(bytes, 1, 4) === "PNG") return "PNG";
  return text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 12) === "WEBP" ? "WebP" : null;
}

/** @param {Uint8Array} bytes @returns {Promise<Block[]>} those that may say an orientation */
export async function findBlocks(bytes) {
  const find = { JPEG: jpegBlocks, PNG: pngBlocks, WebP: webpBlocks }[kindOf(bytes) ?? ""];
  return find ? await Promise.all(find(bytes).map(unpacked)) : [];
}

/** @param {Block[]} blocks @returns {number} 1 to 8, as in EXIF; 1: as it is stored */
export function orientationOf(blocks) {
  const first = (kind) => blocks.find((block) => block.kind === kind)?.data.subarray(0, MAX_BLOCK_BYTES);
  const exif = first("exif") ?? fromProfile(first("profile"));
  const xmp = first("xmp");
  let value = exif && fromExif(exif);
  if (value === undefined && xmp) value = Number(XMP.exec(text(xmp))?.[1]);
  return value >= 1 && value <= 8 ? value : 1;
}

/** @returns {number | undefined} `undefined` if it does not say; 0 if it makes no sense */
function fromExif(block) {
  let start = 0;
  while (text(block, start, start + 6) === EXIF_BLOCK) start += 6;
  const view = new DataView(block.buffer, block.byteOffset + start, block.byteLength - start);
  const little = { II: true, MM: false }[text(block, start, start + 2)];
  if (little === undefined || view.byteLength < 8 || view.getUint16(2, little) !== 42) return 0;
  const directory = view.getUint32(4, little);
  if (directory + 2 > view.byteLength) return undefined;
  const count = view.getUint16(directory, little);
  for (let entry = directory + 2; entry < directory + 2 + 12 * count; entry += 12) {
    if (entry + 12 > view.byteLength) return undefined;
    if (view.getUint16(entry, little) !== ORIENTATION) continue;
    const [type, values] = [view.getUint16(entry + 2, little), view.getUint32(entry + 4, little)];
    if (values !== 1 || (type !== SHORT && type !== LONG)) return 0;
    return type === SHORT ? view.getUint16(entry + 8, little) : view.getUint32(entry + 8, little);
  }
  return undefined;
}

function fromProfile(block) {
  const digits = block && text(block).split("\n").slice(3).join("");
  return digits && Uint8Array.from(digits.match(/[0-9a-f]{2}/gi) ?? [], (pair) => parseInt(pair, 16));
}

function jpegBlocks(bytes) {
  const blocks = [];
  for (let at = 2; at + 4 <= bytes.length; ) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff || marker === 0x00 || marker === 0xff) {
      at += 1;
      continue;
    }
    if (marker === 0xd9 || marker === 0xda) break;
    const alone = marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);
    const end = alone ? at + 2 : at + 2 + Math.max(bytes[at + 2] * 256 + bytes[at + 3], 2);
    if (marker === 0xe1) {
      for (const [kind, name] of [["exif", EXIF_BLOCK], ["xmp", JPEG_XMP]]) {
        const begin = at + 4 + name.length;
        if (text(bytes, at + 4, begin) !== name) continue;
        blocks.push({ kind, data: bytes.subarray(begin, end), start: at, end });
      }
    }
    at = end;
  }
  return blocks;
}

function pngBlocks(bytes) {
  const blocks = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let start = 8; start + 12 <= bytes.length; ) {
    const size = view.getUint32(start);
    const name = text(bytes, start + 4, start + 8);
    const data = bytes.subarray(start + 8, start + 8 + size);
    const end = start + 12 + size;
    const says = (title) => text(data, 0, title.length) === title;
    if (name === "eXIf") blocks.push({ kind: "exif", data, start, end });
    else if (name === "iTXt" && says(PNG_XMP)) {
      const at = PNG_XMP.length;
      const packed = data[at] ? data[at + 1] === 0 : false;
      const language = data.indexOf(0, at + 2);
      const content = data.subarray(data.indexOf(0, language + 1) + 1);
      blocks.push({ kind: "xmp", data: content, packed, start, end });
    } else if ((name === "tEXt" || name === "zTXt") && says(PNG_EXIF)) {
      const packed = name === "zTXt";
      blocks.push({ kind: "profile", data: data.subarray(PNG_EXIF.length + Number(packed)), packed, start, end });
    }
    start = end;
  }
  return blocks;
}

function webpBlocks(bytes) {
  const blocks = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let start = 12; start + 8 <= bytes.length; ) {
    const size = view.getUint32(start + 4, true);
    const kind = { EXIF: "exif", "XMP ": "xmp" }[text(bytes, start, start + 4)];
    const end = start + 8 + size + (size & 1);
    if (kind) blocks.push({ kind, data: bytes.subarray(start + 8, start + 8 + size), start, end });
    start = end;
  }
  return blocks;
}

/** @returns {Promise<Block>} */
async function unpacked({ packed, ...block }) {
  if (!packed) return block;
  const stream = new Blob([block.data]).stream().pipeThrough(new DecompressionStream("deflate"));
  const parts = [];
  try {
    let size = 0;
    // No more than is looked at: what is packed may be many times as large.
    for (const reader = stream.getReader(); size < MAX_BLOCK_BYTES; size += parts.at(-1).length) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
    }
  } catch {
    // What came before it broke may be enough.
  }
  return { ...block, data: new Uint8Array(await new Blob(parts).arrayBuffer()) };
}

function text(bytes, start = 0, end = bytes.length) {
  return new TextDecoder("latin1").decode(bytes.subarray(start, end));
}
