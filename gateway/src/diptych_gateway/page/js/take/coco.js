/** An answer as a COCO data set of one picture. */

/**
 * What is hidden on screen is left out. One file holds one model's answer: COCO has no place for a
 * model's name, and tools would take two models' annotations of an object for two objects.
 *
 * @param {import("../views.js").Shown} shown
 * @param {string} fileName of the picture
 */
export function cocoDocument({ name, answer, edges, isShown }, fileName) {
  const found = answer.segments.filter(({ index }) => isShown(index)).map(({ document }) => document);
  // 0 is "no class" with us and "background" with many tools.
  const free = Math.max(0, ...found.map((one) => one.category_id)) + 1;
  const categories = new Map();
  const annotations = found.map((one, at) => {
    const id = one.category_id || free;
    if (!categories.has(id)) categories.set(id, category(id, one, edges));
    const { segmentation, bbox, area, score, keypoints, num_keypoints: count } = one;
    return {
      id: at + 1,
      image_id: 1,
      category_id: id,
      ...(segmentation ? { segmentation } : {}),
      bbox,
      area,
      iscrowd: 0,
      score,
      ...(keypoints ? { keypoints, num_keypoints: count } : {}),
    };
  });
  const { width, height } = answer;
  return {
    info: { description: `What ${name} (${answer.modelId}) found` },
    licenses: [],
    images: [{ id: 1, file_name: fileName, width, height }],
    annotations,
    categories: [...categories.values()].toSorted((one, other) => one.id - other.id),
  };
}

function category(id, { label, keypoint_names: names }, edges) {
  const body = names ? { keypoints: names, skeleton: edges.map((pair) => pair.map((at) => at + 1)) } : {};
  return { id, name: label || "object", supercategory: "", ...body };
}
