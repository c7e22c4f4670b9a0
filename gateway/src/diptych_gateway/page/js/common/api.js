/** The gateway's HTTP interface. */

import { askedEarly, TOKEN } from "../early.js";
import { readEvents } from "./events.js";
import { refusal } from "./refusals.js";

/** What the gateway refused or could not do; the message is a sentence for a person. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, reason?: string, details?: string, again?: boolean}} [how]
   */
  constructor(message, { status = 0, reason = "", details = "", again = true } = {}) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.details = details;
    this.again = again;
  }

  /** The message under the name that refusals have for it. */
  get said() {
    return this.message;
  }
}

/** Keeps a token for this tab only; an empty one forgets it. @param {string} token */
export function keepToken(token) {
  if (token) sessionStorage.setItem(TOKEN, token);
  else sessionStorage.removeItem(TOKEN);
}

/** The token of this tab; "" if none is kept. */
export function keptToken() {
  return sessionStorage.getItem(TOKEN) ?? "";
}

/**
 * What the gateway knows of each model.
 *
 * @returns {Promise<{model_id: string, card: any, error: any}[]>}
 */
export async function fetchModels() {
  const document = await (await ask("api/models")).json();
  return Array.isArray(document) ? document : document.models;
}

/**
 * @typedef {object} CardsTable
 * @property {{model_id: string, name: string, problem: string}[]} models
 * @property {{group: string, name: string, kind: string, cells: any[][]}[]} rows a cell for each model
 */

/** @returns {Promise<CardsTable>} with what the models have measured by now */
export async function fetchCards() {
  return await (await ask("api/cards")).json();
}

/** @type {Promise<import("../take/formats.js").Format[]> | null} */
let formats = null;

/** Asks once for all views. @returns {Promise<import("../take/formats.js").Format[]>} those that this gateway writes */
export function fetchFormats() {
  formats ??= ask("api/export").then((response) => response.json());
  formats.catch(() => (formats = null)); // they may be had later
  return formats;
}

/**
 * Answers as a file that other tools read.
 *
 * @param {{format: string, tolerance: number, pictures: {name: string, answer: any}[]}} wanted
 * @returns {Promise<{blob: Blob, suffix: string}>}
 * @throws {ApiError}
 */
export async function exportFile(wanted) {
  const headers = { "Content-Type": "application/json" };
  const response = await ask("api/export", { method: "POST", headers, body: JSON.stringify(wanted) }).catch((error) => {
    if (error.status !== 413) throw error;
    throw new ApiError("This is more than one file holds. Save fewer pictures or objects at a time.", error);
  });
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "";
  return { blob: await response.blob(), suffix: name.split(".").slice(-2).join(".") || wanted.format };
}

/** @returns {Promise<import("../take/snippets.js").Server>} where this gateway is, as programs reach it */
export async function fetchServer() {
  const { grpc_port: port, tls } = await (await ask("api/server")).json();
  return {
    url: new URL(".", location.href).href,
    address: `${location.hostname}:${port}`,
    tls,
    locked: sessionStorage.getItem(TOKEN) !== null,
  };
}

/**
 * Asks every model that does the task, and tells each answer as it comes.
 *
 * @param {{picture: {file?: Blob, name?: string, sha256?: string}, options: any}} question
 * @param {{onOutcome: (outcome: any) => void, onAgreements: (agreements: any[]) => void}} hear
 * @param {AbortSignal} signal
 * @throws {ApiError} the request was refused, or the stream broke off
 */
export async function streamCompare({ picture, options }, { onOutcome, onAgreements }, signal) {
  const form = new FormData();
  if (picture.file) form.append("image", picture.file, picture.name);
  else form.append("image_sha256", picture.sha256 ?? "");
  form.append("options", JSON.stringify(options));
  const response = await ask("api/compare/stream", { method: "POST", body: form, signal });
  let ended = false;
  try {
    for await (const { event, data } of readEvents(response.body)) {
      const document = JSON.parse(data);
      if (event === "outcome") onOutcome(document);
      if (event === "error") throw problem(document, response.status);
      if (event === "agreements") {
        ended = true;
        onAgreements(Array.isArray(document) ? document : document.agreements);
      }
    }
  } catch (error) {
    if (error instanceof ApiError || signal.aborted) throw error;
    throw new ApiError("The answer of the gateway broke off. Please try again.");
  }
  if (!ended) throw new ApiError("The answer of the gateway broke off. Please try again.");
}

/** Sends a request. @returns {Promise<Response>} one that went well; throws ApiError otherwise */
async function ask(path, init) {
  const token = keptToken();
  if (token) init = { ...init, headers: { ...init?.headers, Authorization: `Bearer ${token}` } };
  let response;
  try {
    response = await askedEarly(path, init);
  } catch (error) {
    if (init?.signal?.aborted) throw error;
    throw new ApiError("The gateway cannot be reached. Is it running?");
  }
  if (response.ok) return response;
  throw problem(await response.json().catch(() => ({})), response.status);
}

/** A problem document as an error. @param {any} document @param {number} [status] */
export function problem(document, status = 0) {
  const { said, ...how } = refusal(document, document.status ?? status);
  return new ApiError(said, { ...how, status: document.status ?? status, reason: document.reason ?? "" });
}

/** With a capital letter and a full stop. @param {string} text */
export function sentence(text) {
  const trimmed = text.trim();
  const ended = /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
