/** Colours of segments: stable, and the same for segments that models agree on. */

// As in the Python client, so that a figure and the page look alike.
const PALETTE = [
  "#e6194b",
  "#1f77d0",
  "#2ca02c",
  "#ff7f0e",
  "#8e24aa",
  "#00a3a3",
  "#f032c6",
  "#a0522d",
  "#b8a500",
  "#4b5bd6",
  "#7cb518",
  "#c2185b",
];

/** The difference view: what both models say, only the first, only the second. */
export const DIFFERENCE = { both: "#2ca02c", onlyA: "#ff7f0e", onlyB: "#1f77d0" };

/** How each of the three is told without its colour: slant of stripes in masks, dashes of boxes. */
export const SLANT = { both: 0, onlyA: 1, onlyB: -1 };
export const DASH = { both: [], onlyA: [10, 5], onlyB: [2, 5] };

/**
 * The colour of the n-th object, as `#rrggbb`; they repeat after twelve.
 *
 * @param {number} number
 */
export function color(number) {
  return PALETTE[number % PALETTE.length];
}

/**
 * Numbers of each model's segments; one that matches an earlier model's takes its number. One without a match
 * has its own whatever the others match, so that colours stay while the threshold is moved.
 *
 * @param {{model_id: string, count: number}[]} answers in the order of the models
 * @param {any[]} agreements
 * @returns {Map<string, number[]>} by model id
 */
export function sharedNumbers(answers, agreements) {
  const partners = partnersOf(agreements);
  const numbers = new Map();
  let before = 0;
  return new Map(
    answers.map(({ model_id: id, count }) => {
      const own = before;
      before += count;
      const numbersOf = Array.from({ length: count }, (_, index) => {
        const known = (partners.get(`${id} ${index}`) ?? []).find((key) => numbers.has(key));
        const number = numbers.get(known) ?? own + index;
        numbers.set(`${id} ${index}`, number);
        return number;
      });
      return [id, numbersOf];
    }),
  );
}

/** Matched segments of each segment, as "model index". */
function partnersOf(agreements) {
  const partners = new Map();
  const add = (from, to) => partners.set(from, [...(partners.get(from) ?? []), to]);
  for (const { model_id_a: first, model_id_b: second, matches } of agreements) {
    for (const { index_a: a, index_b: b } of matches) {
      add(`${first} ${a}`, `${second} ${b}`);
      add(`${second} ${b}`, `${first} ${a}`);
    }
  }
  return partners;
}
