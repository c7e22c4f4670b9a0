/** Puts the page together: the models, the picture and the views that show both. */

import { readState, writeState } from "./common/address.js";
import { fetchModels, keepToken } from "./common/api.js";
import { CardsView } from "./cards/cards-view.js";
import { CompareView } from "./compare/compare-view.js";
import { byId } from "./common/dom.js";
import { ModelChoice } from "./common/model-choice.js";
import { offerPictures, SAMPLES } from "./common/picture.js";
import { PromptView } from "./prompt/prompt-view.js";
import { TakeAlong } from "./take/take-along.js";
import { VideoView } from "./video/video-view.js";
import { ReportView } from "./report/report-view.js";
import { Viewport } from "./canvas/viewport.js";
import { Views } from "./views.js";

const viewport = new Viewport();
const takeAlong = new TakeAlong();
const views = new Views(
  [
    new CompareView(viewport, hearError),
    new PromptView(viewport, hearError),
    new VideoView(new Viewport(), hearError),
    new CardsView(hearError),
    new ReportView(compareAnew),
  ],
  (view) => {
    takeAlong.view = view;
    seen = view;
  },
);
const choice = new ModelChoice(tellViews);
/** @type {import("./views.js").View | null} */
let seen = null;
let models = [];
let told = [];
/** @type {import("./common/picture.js").Picture | null} */
let picture = null;
/** @type {ReturnType<typeof offerPictures>} */
let pictures;

function showProblem(text) {
  byId("problem").textContent = text;
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
    showProblem("");
  } catch (error) {
    models = [];
    showProblem(error.message);
    hearError(error);
  }
  byId("again").hidden = models.length > 0 && models.every((model) => !model.error);
}

function tellViews() {
  told = choice.chosen(models);
  views.take({ models, chosen: told, picture });
}

async function lookForModels() {
  await readModels();
  choice.show(models);
  tellViews();
}

/** @param {import("./common/picture.js").Picture} chosen */
async function takePicture(chosen) {
  const before = picture;
  picture = chosen;
  takeAlong.picture = chosen;
  showProblem("");
  const { name, bitmap, sentAs } = chosen;
  const sent = sentAs && `, sent as ${sentAs}`;
  byId("picture-name").title = byId("picture-name").textContent = `${name}, ${bitmap.width} × ${bitmap.height} pixels${sent}`;
  writeState({ sample: chosen.sample });
  viewport.reset();
  // A model that was down may be back, and its card may say other things.
  if (!models.length || models.some((model) => model.error)) {
    await readModels();
    choice.show(models);
  }
  if (picture === chosen) tellViews();
  before?.bitmap.close();
}

/** @param {Blob} file @param {string} name */
function compareAnew(file, name) {
  writeState({ view: "side" }, { step: true });
  views.show();
  pictures.take(file, name);
}

function showOpacity() {
  const { opacity } = readState();
  byId("opacity").value = opacity;
  byId("opacity-text").textContent = `${opacity} %`;
  views.takeOpacity(opacity / 100);
}

const SWITCHES = ["grey", "names"];

function showLook() {
  const state = readState();
  const [grey, names] = SWITCHES.map((id) => (byId(id).checked = state[id] === "1"));
  views.takeLook({ grey, names });
}

function listen() {
  byId("opacity").addEventListener("input", () => {
    writeState({ opacity: Number(byId("opacity").value) });
    showOpacity();
  });
  for (const id of SWITCHES) {
    byId(id).addEventListener("change", () => {
      writeState({ [id]: byId(id).checked ? "1" : "0" });
      showLook();
    });
  }
  const zoomed = () => seen?.viewport ?? viewport;
  byId("zoom-in").addEventListener("click", () => zoomed().zoomAt(1.5));
  byId("zoom-out").addEventListener("click", () => zoomed().zoomAt(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => zoomed().reset());
  byId("again").addEventListener("click", lookForModels);
  byId("token-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    keepToken(byId("token").value.trim());
    byId("token").value = "";
    await lookForModels();
  });
  window.addEventListener("popstate", () => {
    views.show();
    showOpacity();
    showLook();
    choice.show(models);
    if (choice.chosen(models) !== told) tellViews();
  });
}

async function start() {
  listen();
  views.show();
  showOpacity();
  showLook();
  pictures = offerPictures(takePicture, showProblem);
  await lookForModels();
  const { sample } = readState();
  if (SAMPLES.some(({ name }) => name === sample) && !picture) await pictures.takeSample(sample);
}

start();
