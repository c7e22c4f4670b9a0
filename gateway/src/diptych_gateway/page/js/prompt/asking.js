/**
 * Questions about objects. A lone point may mean several things, so it is asked for all candidates;
 * an object that goes on from one of them is asked with that candidate's logits.
 */

import { askOnce } from "../panels/kept.js";
import { asOptions, isLone } from "./prompts.js";

/** As many as there are keys for. */
const MOST = 3;

/** @typedef {import("./prompts.js").Wanted} Wanted */

export class Asking {
  /** Of candidates that objects go on from, by model, point and number. @type {Map<string, any>} */
  #logits = new Map();
  /** What each model has answered. @type {Map<string, any>} */
  #results = new Map();
  /** The objects that were asked. @type {Wanted[]} */
  #wanted = [];

  /** Another picture: nothing is known of it. */
  forget() {
    this.#logits.clear();
    this.#results.clear();
    this.#wanted = [];
  }

  /**
   * As `askHeld`, each model's answer in one piece, with all candidates.
   *
   * @param {import("../views.js").Question} question
   * @param {Wanted[]} wanted the objects that its prompts are for
   * @param {{onOutcome: (outcome: any) => void}} hear
   * @param {AbortSignal} signal
   */
  async send({ picture, options }, wanted, { onOutcome }, signal) {
    this.#results.clear();
    this.#wanted = wanted;
    const ask = (asked, hearOutcome) =>
      askOnce({ picture, options: { ...options, ...asked } }, { onOutcome: hearOutcome, onAgreements: () => {} }, signal);
    await this.#fetchLogits(wanted, ask);
    const parts = this.#parts(wanted, options.models);
    const found = new Map(options.models.map((model) => [model, []]));
    const gather = (at) => (outcome) => {
      const got = found.get(outcome.model_id);
      got.push({ outcome, at });
      if (got.length < parts.filter(({ asked }) => asked.models.includes(outcome.model_id)).length) return;
      const whole = merged(got);
      this.#results.set(outcome.model_id, whole.result);
      onOutcome(whole);
    };
    await Promise.all(parts.map(({ asked, at }) => ask(asked, gather(at))));
  }

  /**
   * An answer with one segment for each object.
   *
   * @param {string} model
   * @param {any} result
   * @param {Wanted[]} wanted the objects that were asked, as they are now
   */
  chosen(model, result, wanted) {
    const segments = wanted.flatMap((object, at) => {
      const found = candidatesOf(result, at);
      return found.length ? [(isLone(object) && found[object.pick?.[model]]) || found[0]] : [];
    });
    return { ...result, segments };
  }

  /**
   * What there is to choose from, best first; empty where nothing is.
   *
   * @param {string} model
   * @param {number} at which of the objects that were asked
   * @returns {number[]}
   */
  scores(model, at) {
    const object = this.#wanted[at];
    const found = object && isLone(object) ? candidatesOf(this.#results.get(model), at) : [];
    return found.length > 1 ? found.map(({ score }) => score).slice(0, MOST) : [];
  }

  /** Lone points are asked for candidates; others at once where models are asked the same. */
  #parts(wanted, models) {
    const places = [...wanted.keys()];
    const [lone, others] = [true, false].map((is) => places.filter((at) => isLone(wanted[at]) === is));
    const goOn = models.filter((model) => others.some((at) => this.#logitsOf(wanted[at], model)));
    const together = models.filter((model) => !goOn.includes(model));
    const prompt = (at, model) => {
      const logits = model && this.#logitsOf(wanted[at], model);
      return { ...asOptions(wanted[at]), ...(logits && { mask: logits }) };
    };
    const all = [
      { at: lone, asked: { models, prompts: lone.map((at) => prompt(at)), output: { all_candidates: true } } },
      { at: others, asked: { models: together, prompts: others.map((at) => prompt(at)) } },
      ...goOn.map((model) => ({ at: others, asked: { models: [model], prompts: others.map((at) => prompt(at, model)) } })),
    ];
    return all.filter(({ at, asked }) => at.length && asked.models.length);
  }

  /** Models without logits have none: they answer the points alone. */
  async #fetchLogits(wanted, ask) {
    const needed = new Map();
    for (const object of wanted.filter(goesOn)) {
      for (const model of Object.keys(object.pick)) {
        if (!this.#logits.has(keyOf(object, model))) needed.set(model, [...(needed.get(model) ?? []), object]);
      }
    }
    const output = { all_candidates: true, low_res_logits: true, mask_encoding: "none" };
    const fetches = [...needed].map(([model, objects]) => {
      const prompts = objects.map((object) => asOptions({ ...object, ...seedOf(object) }));
      return ask({ models: [model], prompts, output }, ({ result }) => {
        objects.forEach((object, at) => {
          const found = candidatesOf(result, at);
          this.#logits.set(keyOf(object, model), found[object.pick[model]]?.low_res_logits ?? null);
        });
      });
    });
    await Promise.all(fetches);
  }

  #logitsOf(object, model) {
    return goesOn(object) ? (this.#logits.get(keyOf(object, model)) ?? null) : null;
  }
}

/**
 * What was chosen, for code that asks the same: other candidates than the best, and what goes on from one.
 *
 * @param {Wanted[]} wanted the objects that were asked
 * @returns {import("../views.js").Pick[]}
 */
export function picksOf(wanted) {
  return wanted.flatMap((object, prompt) => {
    if (!isLone(object) && !goesOn(object)) return [];
    const seed = asOptions({ ...object, ...seedOf(object) });
    const further = isLone(object) ? null : asOptions(object);
    const picks = Object.entries(object.pick ?? {}).filter(([, candidate]) => candidate || further);
    return picks.map(([model, candidate]) => ({ model, prompt, candidate, seed, further }));
  });
}

/** More was said of an object after one of its candidates was chosen. @param {Wanted} object */
function goesOn(object) {
  return Boolean(object.pick) && !object.mask && !isLone(object);
}

/** What a candidate was an answer to. @param {Wanted} object */
function seedOf({ points }) {
  return { points: points.slice(0, 1), box: null };
}

function candidatesOf(result, at) {
  return result?.segments.filter(({ prompt_index: prompt }) => prompt === at) ?? [];
}

function keyOf({ points: [{ x, y }], pick }, model) {
  return `${model} ${x},${y} ${pick[model]}`;
}

/** One outcome of those of a model's parts, which name prompts by their places in their own question. */
function merged(parts) {
  const failed = parts.find(({ outcome }) => !outcome.result);
  if (failed) return failed.outcome;
  const slowest = parts.toSorted((one, other) => other.outcome.elapsed_s - one.outcome.elapsed_s)[0].outcome;
  const segments = parts.flatMap(({ outcome, at }) =>
    outcome.result.segments.map((segment) => ({ ...segment, prompt_index: at[segment.prompt_index] })),
  );
  return { ...slowest, result: { ...slowest.result, segments } };
}
