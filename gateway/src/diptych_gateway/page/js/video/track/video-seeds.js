/** How a new session is told of objects that were followed before: each where it was seen last. */

/** Numbers from here on are of objects that a model has found by itself. */
export const OWN_IDS = 2 ** 30;

/** @typedef {{id: number, prompt: any}} Seed */

/**
 * As the client resumes a session, but for all objects that are known on a frame.
 *
 * @param {number} index of the frame that comes next
 * @param {1 | -1} way
 * @param {import("../told.js").Told} told
 * @param {import("./video-record.js").Record} record
 * @param {{here?: boolean, anew?: number}} [how] `here`: no other frame can be sent, so all is said on this
 *   one; `anew`: what is answered for this object on the frame is from before a prompt
 * @returns {Map<number, Seed[]>} by frame, in the order in which they are sent
 */
export function seeds(index, way, told, record, { here = false, anew = 0 } = {}) {
  const found = new Map();
  const said = new Map(told.prompts(index).map((one) => [one.id, one]));
  for (const id of told.known) {
    if (said.has(id) && !said.get(id).corrects) continue; // that is told anew
    // The way back begins with the prompts alone.
    if (way < 0 || told.first(id) > index) continue;
    const seen = lastSeen(id, index, told, record, id === anew ? index : -1);
    if (!seen) continue;
    const on = here ? index : seen.index;
    found.set(on, [...(found.get(on) ?? []), { id, prompt: seen.prompt }]);
  }
  return new Map([...found].sort(([a], [b]) => a - b));
}

/**
 * Sends a frame, and what is said on it.
 *
 * @param {import("./video-pass.js").Pass} pass
 * @param {import("../video-frame.js").Frame} frame
 * @param {import("../told.js").Told} told
 * @param {Seed[]} [known] of objects that this session does not know yet
 */
export function tell(pass, frame, told, known = []) {
  pass.send(frame);
  const seeded = new Map(known.map(({ id, prompt }) => [id, prompt]));
  for (const { id, prompt, corrects } of told.prompts(frame.index)) {
    // What only says where an object is not corrects what is known of it.
    if (corrects && !seeded.has(id) && !pass.known.has(id)) continue;
    pass.prompt(id, frame.index, corrects ? { ...seeded.get(id), ...prompt } : prompt);
    seeded.delete(id);
  }
  for (const [id, prompt] of seeded) pass.prompt(id, frame.index, prompt);
}

/** The frames on which a new session is told of objects before it goes on. @param {Map<number, Seed[]>} known */
export async function framesBefore(frame, known, source) {
  const before = [];
  for (const index of known.keys()) {
    const one = index !== frame.index && (await source?.grab(index).catch(() => null));
    if (one) before.push(one);
  }
  return before;
}

/** The newest frame up to this one, but for one, on which an object is seen, or was shown. */
function lastSeen(id, index, told, record, without) {
  const first = told.first(id);
  for (let at = index; at >= first; at -= 1) {
    const counts = at !== without && (at === index || !record.isStale(at));
    const prompt = counts && promptOf(record.get(at)?.objects.find((one) => one.object_id === id));
    if (prompt) return { index: at, prompt };
    const shown = told.prompts(at).find((one) => one.id === id && !one.corrects);
    if (shown) return { index: at, prompt: shown.prompt };
  }
  return null;
}

/** Whether a model sees an object on a frame. @param {any} object as it came */
export function isSeen(object) {
  return Boolean(object && ((object.segmentation?.counts && object.area) || object.bbox));
}

/** Models that name a class detect, and know a detection by its box; they may take no masks. */
function promptOf(object) {
  if (!isSeen(object)) return null;
  const { bbox, segmentation, category_id: named } = object;
  if (segmentation?.counts && !(named && bbox)) return { mask: segmentation };
  const [left, top, width, height] = bbox;
  return { box: [left, top, left + width, top + height] };
}
