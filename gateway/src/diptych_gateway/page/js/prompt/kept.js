/** Answers with what is not a model's: masks that are kept as a person painted them, and names. */

/**
 * @param {any} result a model's answer as it came
 * @param {number[]} asked the object that each prompt was for
 * @param {import("./prompts.js").Wanted[]} objects
 * @returns {{result: any, objects: number[]}} with a segment for each mask that is kept
 */
export function withKept(result, asked, objects) {
  const named = result.segments.map((segment) => {
    const { label, category } = objects[asked[segment.prompt_index]] ?? {};
    return segment.label || !label ? segment : { ...segment, label, category_id: category };
  });
  const kept = [...objects.keys()].filter((index) => objects[index].keep && objects[index].mask);
  const own = kept.map((index, at) => segmentOf(objects[index], asked.length + at));
  return { result: { ...result, segments: [...named, ...own] }, objects: [...asked, ...kept] };
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
