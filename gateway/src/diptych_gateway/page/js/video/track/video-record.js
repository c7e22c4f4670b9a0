/**
 * What one model has answered, frame by frame: it stays when the session is over.
 *
 * Answers of the way forward and of the way back are kept apart. Of the way back those objects count
 * that are shown on later frames only, as in the client's `track_clip`.
 */

/** Characters of the answers as they came, those for "undo" among them. */
const MAX_BYTES = 64 * 2 ** 20;
/** Steps back for which answers are kept. */
const MAX_STEPS = 50;

/**
 * @typedef {object} Entry
 * @property {any} document of the frame, with `objects`
 * @property {number} bytes
 */

export class Record {
  /** By the number of the frame. @type {{1: Map<number, Entry>, [-1]: Map<number, Entry>}} */
  #ways = { 1: new Map(), [-1]: new Map() };
  /** Frames whose answer is from before a prompt that would change it. */
  #stale = { 1: new Set(), [-1]: new Set() };
  /** As it was at earlier steps of the prompts. @type {Map<number, any>} */
  #marks = new Map();
  #bytes = 0;
  #told;
  #max;
  /** Answers that had to be let go. */
  lost = 0;

  /** @param {import("../told.js").Told} told @param {number} [maxBytes] */
  constructor(told, maxBytes = MAX_BYTES) {
    this.#told = told;
    this.#max = maxBytes;
  }

  /** Numbers of the frames that were answered, in their order. */
  get frames() {
    return [...new Set([...this.#ways[1].keys(), ...this.#ways[-1].keys()])].sort((a, b) => a - b);
  }

  /** How many frames are answered. */
  get count() {
    return this.#ways[-1].size ? this.frames.length : this.#ways[1].size;
  }

  /** @param {number} index @returns {any} the document of a frame, `null` for one without an answer */
  get(index) {
    const ahead = this.#ways[1].get(index)?.document;
    const back = this.#ways[-1].get(index)?.document;
    if (!back) return ahead ?? null;
    const objects = back.objects.filter(({ object_id: id }) => index < this.#told.first(id));
    const taken = new Set(objects.map(({ object_id: id }) => id));
    const others = ahead?.objects.filter(({ object_id: id }) => !taken.has(id)) ?? [];
    return { ...(ahead ?? back), objects: [...objects, ...others].sort((a, b) => a.object_id - b.object_id) };
  }

  /** Whether a frame's answer is from before a prompt that would change it. @param {number} index */
  isStale(index) {
    return this.#stale[1].has(index) || this.#stale[-1].has(index);
  }

  /** @param {number} index @param {1 | -1} way whether it is answered on this way as things are now */
  isFresh(index, way) {
    return this.#ways[way].has(index) && !this.#stale[way].has(index);
  }

  /** @param {number} index @param {1 | -1} way @param {any} document @param {number} bytes of it */
  put(index, way, document, bytes) {
    this.#ways[way].set(index, { document, bytes });
    this.#stale[way].delete(index);
    this.#bytes += bytes;
    if (this.#bytes > this.#max) this.#fit(index);
  }

  /** A prompt on this frame changes what is answered from it on, and all of the way back. @param {number} index */
  age(index) {
    for (const frame of this.#ways[1].keys()) if (frame >= index) this.#stale[1].add(frame);
    this.ageBack();
  }

  /** All of the way back would be answered anew. */
  ageBack() {
    this.#stale[-1] = new Set(this.#ways[-1].keys());
  }

  /** Takes an object from all answers. @param {number} id */
  forget(id) {
    for (const way of [1, -1]) {
      for (const [index, { document, bytes }] of this.#ways[way]) {
        const objects = document.objects.filter((one) => one.object_id !== id);
        if (objects.length < document.objects.length) {
          this.#ways[way].set(index, { document: { ...document, objects }, bytes });
        }
      }
    }
  }

  clear() {
    this.#restore(EMPTY());
    this.#marks.clear();
    this.#bytes = this.lost = 0;
  }

  /** Keeps it as it is now, for `back`. @param {number} step */
  mark(step) {
    this.#marks.set(step, this.#copy());
    if (this.#marks.size > MAX_STEPS) this.#marks.delete(this.#marks.keys().next().value);
  }

  /** As it was at a step; what is not kept any more would have to be answered anew. @param {number} step */
  back(step) {
    this.#restore(this.#marks.get(step) ?? EMPTY());
  }

  #copy() {
    const copy = (kind, of) => ({ 1: new kind(of[1]), [-1]: new kind(of[-1]) });
    return { ways: copy(Map, this.#ways), stale: copy(Set, this.#stale) };
  }

  #restore({ ways, stale }) {
    [this.#ways, this.#stale] = [ways, stale];
    const copy = this.#copy(); // what was marked stays as it was
    [this.#ways, this.#stale] = [copy.ways, copy.stale];
  }

  /** Lets go of earlier steps first, then of the oldest answers. @param {number} newest */
  #fit(newest) {
    while ((this.#bytes = this.#alive()) > this.#max) {
      const [step] = this.#marks.keys();
      if (step !== undefined) this.#marks.delete(step);
      else if (!this.#dropOldest(newest)) return;
    }
  }

  #alive() {
    const all = [this.#ways, ...[...this.#marks.values()].map(({ ways }) => ways)];
    const entries = new Set(all.flatMap((ways) => [...ways[1].values(), ...ways[-1].values()]));
    return [...entries].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** A tenth at a time, as counting takes a while. */
  #dropOldest(newest) {
    const [ahead, back] = [this.#ways[1], this.#ways[-1]];
    const ways = back.size > ahead.size ? back : ahead;
    const oldest = [...ways.keys()].filter((index) => index !== newest).slice(0, Math.ceil(ways.size / 10));
    for (const index of oldest) ways.delete(index);
    this.lost += oldest.length;
    return oldest.length;
  }
}

function EMPTY() {
  return { ways: { 1: new Map(), [-1]: new Map() }, stale: { 1: new Set(), [-1]: new Set() } };
}
