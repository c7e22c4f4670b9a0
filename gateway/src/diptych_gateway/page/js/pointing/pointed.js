/**
 * How points and a box change an object that is pointed at, wherever it is kept. Whoever extends it has `objects`,
 * `current` and `put`, as `Pointed` says.
 */

export class PointedObjects {
  /** @param {import("../prompt/prompts.js").Point} point */
  addPoint(point) {
    const object = this.objects[this.current];
    this.put(this.current, { ...object, points: [...object.points, point] });
  }

  /** @param {import("../prompt/prompts.js").Box} box instead of the object's earlier one */
  drawBox(box) {
    this.put(this.current, { ...this.objects[this.current], box });
  }

  /** @param {number} object @param {number} index of its points */
  removePoint(object, index) {
    const wanted = this.objects[object];
    this.put(object, { ...wanted, points: wanted.points.toSpliced(index, 1) });
  }

  /** @param {number} object */
  removeBox(object) {
    this.put(object, { ...this.objects[object], box: null });
  }
}
