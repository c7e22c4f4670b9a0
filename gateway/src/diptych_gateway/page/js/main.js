/** Puts the page together: the models, the picture and the views that show both. */

import { keepSettings, readState, writeState } from "./common/address.js";
import { fetchModels, fetchServer, keepToken } from "./common/api.js";
import { CompareView } from "./compare/compare-view.js";
import { listenToDemoStrip, showDemoStrip } from "./common/demo-weights.js";
import { byId } from "./common/dom.js";
import { followLook } from "./look.js";
import { ModelChoice } from "./common/model-choice.js";
import { offerPictures } from "./common/picture.js";
import { withDetails } from "./common/refusals.js";
import { Viewport } from "./canvas/viewport.js";
import { dress, Views } from "./views.js";

const viewport = new Viewport();
const views = new Views(
  [
    { id: "compare", names: ["side", "wipe", "difference"], onPicture: true, view: new CompareView(viewport, hearError, refine) },
    {
      id: "prompt",
      names: ["prompt"],
      onPicture: true,
      module: "./prompt/prompt-view.js",
      style: "prompt.css",
      make: ({ PromptView }) => new PromptView(viewport, hearError),
    },
    {
      id: "video",
      names: ["video"],
      onPicture: false,
      looks: true,
      module: "./video/video-view.js",
      style: "video.css",
      make: ({ VideoView }) => new VideoView(new Viewport(), hearError),
    },
    {
      id: "models",
      names: ["models"],
      onPicture: false,
      module: "./cards/cards-view.js",
      style: "cards.css",
      make: ({ CardsView }) => new CardsView(hearError),
    },
    {
      id: "report",
      names: ["report"],
      onPicture: false,
      module: "./report/report-view.js",
      style: "report.css",
      make: ({ ReportView }) => new ReportView((file, name) => pictures.take(file, name)),
    },
  ],
  (view) => {
    seen = view;
    if (takeAlong) takeAlong.view = view;
    entitle();
    openFirst();
  },
);
/** @type {import("./views.js").View | null} */
let seen = null;
/** @type {import("./take/take-along.js").TakeAlong | null} */
let takeAlong = null;
/** @type {import("./strip/strip.js").Strip | null} */
let strip = null;
const choice = new ModelChoice(tellViews);
let models = [];
let told = [];
/** @type {Promise<void> | null} */
let looking = null;
/** Why there were no models last. */
let lost = "";
/** The picture of the address was asked for. */
let opened = false;
/** @type {import("./common/picture.js").Picture | null} */
let picture = null;
/** @type {ReturnType<typeof offerPictures>} */
let pictures;

/** @param {string} said @param {string} [details] */
function showProblem(said, details = "") {
  byId("problem").replaceChildren(...(said ? withDetails({ said, details, again: true }) : []));
}

/** @param {string} text why a picture cannot be shown */
function hearNoPicture(text) {
  showProblem(text);
  if (!picture) tellViews();
}

/** @param {Error & {status?: number}} error */
function hearError(error) {
  if (error.status !== 401) return;
  byId("token-form").hidden = false;
  byId("token").focus();
}

async function readModels() {
  try {
    models = await fetchModels();
    byId("token-form").hidden = true;
    if (lost && byId("problem").textContent.startsWith(lost)) showProblem("");
  } catch (error) {
    models = [];
    showProblem((lost = error.message), error.details);
    hearError(error);
  }
  byId("again").hidden = models.length > 0 && models.every((model) => !model.error);
}

function tellViews() {
  told = choice.chosen(models);
  showDemoStrip(told);
  views.take({ models, chosen: told, picture });
}

function lookForModels() {
  looking = readModels().finally(() => {
    looking = null;
    choice.show(models);
    if (models.length) showPrograms(); // else a token may be missing
    // The first picture is on its way: until it is there, nothing has to be chosen.
    if (picture || !pictures.busy) tellViews();
  });
  return looking;
}

/** @param {import("./common/picture.js").Picture} chosen @param {boolean} back the browser went back to it */
async function takePicture(chosen, back) {
  const before = picture;
  picture = chosen;
  if (takeAlong) takeAlong.picture = chosen;
  strip?.follow(chosen.number);
  showProblem("");
  const { name, number, sample, bitmap, sentAs, source } = chosen;
  const sent = sentAs && `, sent as ${sentAs}`;
  byId("picture-name").title = byId("picture-name").textContent = `${name}, ${bitmap.width} × ${bitmap.height} pixels${sent}`;
  viewport.reset();
  if (!back) {
    const away = byId("picture-tools").hidden;
    // The first picture may be the one that the address speaks of.
    const change = { sample, ...(before && { objects: "" }), ...(away && { view: "side" }) };
    // Going through a folder is no step: Back leads out of it, not through all that was looked at.
    const within = before?.source && source;
    writeState(change, { step: (before && !within) || away, picture: number });
    if (away) views.show();
  }
  entitle();
  if (looking) await looking;
  // A model that was down may be back, and its card may say other things.
  else if (!models.length || models.some((model) => model.error)) await lookForModels();
  else tellViews();
  before?.bitmap.close();
}

/** Several pictures are a strip, of which one is shown. @param {File[]} files @param {any[]} entries */
async function takeSeveral(files, entries) {
  showProblem("");
  try {
    const [{ Strip }] = await Promise.all([import("./strip/strip.js"), dress("strip.css")]);
    strip ??= new Strip({ list: pictures.list, onChoose: pictures.takeListed, onProblem: showProblem });
  } catch {
    return showProblem("Several pictures cannot be shown now. Is the gateway running?");
  }
  await strip.take(files, entries);
}

/** Opens the picture of the address, as soon as a view is seen that shows it. */
function openFirst() {
  if (picture || pictures.busy || opened || byId("picture-tools").hidden) return;
  opened = true;
  const { sample } = readState();
  pictures.takeAgain(sample, history.state?.picture);
}

/** Names what is seen, the picture first. */
function entitle() {
  const shown = picture && !byId("picture-tools").hidden ? [picture.name] : [];
  const view = document.querySelector("nav [aria-current]")?.textContent ?? "";
  document.title = [...shown, view, "Diptych"].join(" – ");
}

/** @param {string} objects an object of an answer, to be pointed at */
function refine(objects) {
  writeState({ view: "prompt", objects }, { step: true });
  views.show();
}

function listen() {
  listenToDemoStrip();
  byId("again").addEventListener("click", lookForModels);
  byId("token-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    keepToken(byId("token").value.trim());
    byId("token").value = "";
    await lookForModels();
  });
  window.addEventListener("popstate", goBack);
}

/** Shows what the address says, which the browser has changed. */
async function goBack() {
  keepSettings();
  const number = history.state?.picture;
  const { sample } = readState();
  // Before views look: what the address points at is in its own picture.
  if (picture && (sample !== picture.sample || number !== picture.number)) await pictures.takeAgain(sample, number);
  views.show();
}

/** It is for answers, so it may come after them. */
async function loadTakeAlong() {
  const { TakeAlong } = await import("./take/take-along.js");
  takeAlong = new TakeAlong(() => strip?.pictures ?? []);
  takeAlong.picture = picture;
  if (seen) takeAlong.view = seen;
}

/** At the end of the page: where programs find what it finds. */
async function showPrograms() {
  const { address } = await fetchServer().catch(() => ({ address: `${location.hostname}:PORT` }));
  for (const element of document.querySelectorAll("[data-grpc]")) element.textContent = address;
}

async function start() {
  listen();
  pictures = offerPictures(takePicture, hearNoPicture, takeSeveral);
  byId("file").dispatchEvent(new Event("change")); // one may have been chosen before anybody listened
  followLook(views, () => seen?.viewport ?? viewport);
  views.show();
  openFirst();
  await lookForModels();
  loadTakeAlong();
}

start();
