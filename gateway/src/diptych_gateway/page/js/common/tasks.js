/** Tasks in words, and why a model is not asked. */

import { refusal } from "./refusals.js";

/** Those that need nothing but a picture, in the order of the chooser. */
export const PICTURE_TASKS = ["instance-segmentation", "object-detection", "keypoint-detection"];

/** @param {string} task */
export function taskName(task) {
  return task.charAt(0).toUpperCase() + task.slice(1).replaceAll("-", " ");
}

/** @param {{model_id: string, card: any}} model */
export function modelName(model) {
  return model.card?.display_name || model.model_id;
}

/**
 * The name without what stands in brackets, where that still tells the model from the others.
 *
 * @param {{model_id: string, card: any}} model
 * @param {{model_id: string, card: any}[]} models
 */
export function shortName(model, models) {
  const short = (one) => modelName(one).replaceAll(/\s*\([^()]*\)/g, "").trim();
  const name = short(model);
  return name && models.filter((one) => short(one) === name).length === 1 ? name : modelName(model);
}

/** Whether a model finds objects by itself, and can follow all of them. @param {{card: any}} model */
export function findsByItself({ card }) {
  return PICTURE_TASKS.some((task) => card?.tasks.includes(task));
}

/** Whether masks are among its prompts. @param {{card: any}} model */
export function takesMasks({ card }) {
  return Boolean(card?.prompt_kinds?.includes("mask"));
}

/** Whether it can be asked with these. @param {{card: any}} model @param {any[]} [prompts] */
export function takesPrompts(model, prompts) {
  return takesMasks(model) || !prompts?.some(({ mask }) => mask);
}

/**
 * Why this model cannot be asked; "" if it can. An unreachable model whose card lists the task is
 * asked all the same: it may be back.
 *
 * @param {{model_id: string, card: any, error: any}} model
 * @param {string} task
 */
export function whyNot(model, task) {
  if (!model.card) {
    return model.error ? refusal(model.error).said : `${model.model_id} has not been reached yet.`;
  }
  if (model.card.tasks.includes(task)) return "";
  const own = model.card.tasks.map((known) => taskName(known).toLowerCase()).join(", ");
  return `${modelName(model)} does not do ${taskName(task).toLowerCase()}. It does: ${own}.`;
}
