/** Why a file is not played: what lies in it, and what this browser plays. */

const MAX_HEAD_BYTES = 2 ** 18;
const MAX_INDEX_BYTES = 2 ** 24;
/** By the start of the names that containers give them. */
const CODECS = [
  [/^(?:avc|V_MPEG4\/ISO\/AVC)/, "H.264"],
  [/^(?:hvc|hev|dvh|V_MPEGH)/, "HEVC (H.265)"],
  [/^(?:vp08|V_VP8)/, "VP8"],
  [/^(?:vp09|V_VP9)/, "VP9"],
  [/^(?:av01|V_AV1)/, "AV1"],
  [/^ap/, "ProRes"],
  [/^(?:mp4v|V_MPEG4|[Xx][Vv][Ii][Dd]|DIVX|DX50|FMP4)/, "MPEG-4 part 2"],
];
const PLAYABLE = { "H.264": 'video/mp4; codecs="avc1.42E01E"', VP8: 'video/webm; codecs="vp8"',
  VP9: 'video/webm; codecs="vp9"', AV1: 'video/mp4; codecs="av01.0.04M.08"',
  "HEVC (H.265)": 'video/mp4; codecs="hvc1.1.6.L93.B0"' };

/**
 * @param {Blob} file that the browser does not show a picture of
 * @param {string} name
 * @returns {Promise<string>} a sentence or two
 */
export async function whyNotPlayed(file, name) {
  if (!file.size) return `“${name}” is empty: it has 0 bytes.`;
  const head = await text(file, 0, MAX_HEAD_BYTES);
  const kind = kindOf(head);
  if (!kind) return `“${name}” is not a video that a browser knows. ${take()}`;
  const index = kind === "MP4" ? await indexOf(file) : head;
  if (index === null) return `“${name}” is cut off or damaged: what says where its frames are is missing.`;
  const codecs = { MP4: mp4Codecs, Matroska: matroskaCodecs, AVI: aviCodecs }[kind](index);
  if (!codecs.length) return `“${name}” has no video in it, only sound or nothing at all.`;
  const codec = CODECS.find(([start]) => start.test(codecs[0]))?.[1] ?? `“${codecs[0]}”`;
  if (kind !== "AVI" && plays(codec)) return `“${name}” is damaged: its ${codec} video cannot be read.`;
  const what = kind === "AVI" ? `an AVI file with ${codec} video` : `${codec} video`;
  return `“${name}” is ${what}, which this browser does not play. ${take()} “diptych video” on the command line reads it.`;
}

function take() {
  const known = Object.keys(PLAYABLE).filter(plays);
  return `It plays MP4 and WebM with ${known.slice(0, -1).join(", ")} or ${known.at(-1)}.`;
}

function plays(codec) {
  return Boolean(PLAYABLE[codec] && document.createElement("video").canPlayType(PLAYABLE[codec]));
}

function kindOf(head) {
  if (/^....(?:ftyp|moov|mdat|wide|free|skip)/s.test(head)) return "MP4";
  if (head.startsWith("\x1aE\xdf\xa3")) return "Matroska";
  return /^RIFF....AVI /s.test(head) ? "AVI" : null;
}

/** The part of an MP4 file that describes it, wherever that lies; `null` if there is none. */
async function indexOf(file) {
  for (let at = 0, box = 0; at + 8 <= file.size && box < 1000; box += 1) {
    const view = new DataView(await file.slice(at, at + 16).arrayBuffer());
    let size = view.getUint32(0);
    if (size === 1 && view.byteLength === 16) size = Number(view.getBigUint64(8));
    if (size < 8) size = file.size - at;
    if (view.getUint32(4) === 0x6d6f6f76) {
      return at + size > file.size ? null : await text(file, at, at + Math.min(size, MAX_INDEX_BYTES));
    }
    at += size;
  }
  return null;
}

function mp4Codecs(index) {
  return index.split("trak").slice(1)
    .filter((track) => /hdlr.{8}vide/s.test(track))
    .map((track) => /stsd.{12}(....)/s.exec(track)?.[1] ?? "unknown");
}

function matroskaCodecs(head) {
  return [...head.matchAll(/V_[A-Z][A-Z0-9/]+/g)].map(([codec]) => codec);
}

function aviCodecs(head) {
  return [...head.matchAll(/vids(....)/g)].map(([, codec]) => codec);
}

async function text(file, start, end) {
  return new TextDecoder("latin1").decode(await file.slice(start, end).arrayBuffer());
}
