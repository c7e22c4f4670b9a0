/** Puts the page together: the models, the picture and the views that show both. */

import { readState, writeState } from "./common/address.js";
import { fetchModels, keepToken } from "./common/api.js";
import { CompareView } from "./compare/compare-view.js";
import { byId } from "./common/dom.js";
import { ModelChoice } from "./common/model-choice.js";
import { offerPictures, SAMPLES } from "./common/picture.js";
import { withDetails } from "./common/refusals.js";
import { Viewport } from "./canvas/viewport.js";
import { Views } from "./views.js";

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
      make: ({ ReportView }) => new ReportView(compareAnew),
    },
  ],
  (view) => {
    seen = view;
    if (takeAlong) takeAlong.view = view;
  },
);
/** @type {import("./views.js").View | null} */
let seen = null;
/** @type {import("./take/take-along.js").TakeAlong | null} */
let takeAlong = null;
const choice = new ModelChoice(tellViews);
let models = [];
let told = [];
/** @type {import("./common/picture.js").Picture | null} */
let picture = null;
/** @type {ReturnType<typeof offerPictures>} */
let pictures;

/** @param {string} said @param {string} [details] */
function showProblem(said, details = "") {
  byId("problem").replaceChildren(...(said ? withDetails({ said, details, again: true }) : []));
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
    showProblem(error.message, error.details);
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
  if (takeAlong) takeAlong.picture = chosen;
  showProblem("");
  const { name, bitmap, sentAs } = chosen;
  const sent = sentAs && `, sent as ${sentAs}`;
  byId("picture-name").title = byId("picture-name").textContent = `${name}, ${bitmap.width} × ${bitmap.height} pixels${sent}`;
  // The first picture may be the one that the address speaks of.
  writeState({ sample: chosen.sample, ...(before && { objects: "" }) });
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

/** @param {string} objects an object of an answer, to be pointed at */
function refine(objects) {
  writeState({ view: "prompt", objects }, { step: true });
  views.show();
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
  byId("zoom-in").addEventListener("click", () => viewport.zoomAt(1.5));
  byId("zoom-out").addEventListener("click", () => viewport.zoomAt(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => viewport.reset());
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

/** It is for answers, so it may come after them. */
async function loadTakeAlong() {
  const { TakeAlong } = await import("./take/take-along.js");
  takeAlong = new TakeAlong();
  takeAlong.picture = picture;
  if (seen) takeAlong.view = seen;
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
  loadTakeAlong();
}

start();
