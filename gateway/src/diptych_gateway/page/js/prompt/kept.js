/** Answers with what is a person's: masks that are kept as they were painted, names, what is hidden. */

/**
 * @param {any} result a model's answer as it came
 * @param {number[]} asked the object that each prompt was for
 * @param {import("./prompts.js").Wanted[]} objects
 * @returns {{result: any, objects: number[]}} with a segment for each mask that is kept, without what is
 *   hidden
 */
export function withKept(result, asked, objects) {
  const numbers = numbersOf(result.segments, objects);
  const named = result.segments.map((segment) => {
    const { label } = objects[asked[segment.prompt_index]] ?? {};
    return label ? { ...segment, label, category_id: numbers.get(label) } : segment;
  });
  const kept = [...objects.keys()].filter((index) => objects[index].keep && objects[index].mask);
  const own = kept.map((index, at) => {
    const { mask, label } = objects[index];
    return segmentOf({ mask, label, category: numbers.get(label) }, asked.length + at);
  });
  const all = [...asked, ...kept];
  const segments = [...named, ...own].filter(({ prompt_index: prompt }) => !objects[all[prompt]]?.hidden);
  return { result: { ...result, segments }, objects: all };
}

/** A class' number for each name: the model's or the object's own, else the next free one. */
function numbersOf(segments, objects) {
  const known = [...segments.map(({ label, category_id: number }) => [label, number]), ...objects.map(({ label, category }) => [label, category])];
  const numbers = new Map(known.filter(([label, number]) => label && number));
  for (const { label } of objects) {
    if (label && !numbers.has(label)) numbers.set(label, 1 + Math.max(0, ...numbers.values()));
  }
  return numbers;
}

/** An answer of a model that was not asked. @param {string} id @param {{width: number, height: number}} size */
export function noResult(id, { width, height }) {
  return {
    version: 1,
    model_id: id,
    image_size: { height, width },
    image_sha256: "",
    request_id: "",
    omitted: 0,
    warnings: [],
    timings: {},
    provenance: [],
    segments: [],
  };
}

/** As answers have segments. */
function segmentOf({ mask, label, category }, prompt) {
  const [left, top, right, bottom] = mask.box;
  return {
    category_id: category ?? 0,
    label: label ?? "",
    score: 1,
    area: mask.area,
    box: mask.box,
    bbox: [left, top, right - left, bottom - top],
    prompt_index: prompt,
    candidate_index: 0,
    segmentation: { size: mask.size, counts: mask.counts },
  };
}
