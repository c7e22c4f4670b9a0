/** Puts the page together: what is chosen, where it is kept, what follows from it. */

import { readPlace, writePlace } from "./address.js";
import { fetchModels, keepToken } from "./api.js";
import { cardsTable } from "./cards.js";
import { Comparison } from "./compare.js";
import { byId, make } from "./dom.js";
import { offerPictures, SAMPLES } from "./picture.js";
import { PICTURE_TASKS, taskName } from "./tasks.js";

const comparison = new Comparison(hearError);
let models = [];

function showProblem(text) {
  byId("problem").textContent = text;
}

/** @param {Error & {status?: number}} error */
function hearError(error) {
  if (error.status !== 401) return;
  byId("token-form").hidden = false;
  byId("token").focus();
}

async function loadModels() {
  try {
    models = await fetchModels();
    byId("token-form").hidden = true;
    showProblem("");
  } catch (error) {
    models = [];
    showProblem(error.message);
    hearError(error);
  }
  comparison.models = models;
  byId("cards").replaceChildren(models.length ? cardsTable(models) : "");
  byId("again").hidden = models.length > 0 && models.every((model) => !model.error);
  showTasks();
}

function showTasks() {
  const { task } = readPlace();
  const cards = models.map((model) => model.card).filter(Boolean);
  byId("tasks").replaceChildren(
    ...PICTURE_TASKS.map((name) => {
      const doing = cards.filter((card) => card.tasks.includes(name)).length;
      const input = make("input", { type: "radio", name: "task", value: name });
      input.checked = name === task;
      input.disabled = cards.length > 0 && !doing;
      input.addEventListener("change", () => {
        writePlace({ task: name });
        comparison.run(name);
      });
      const note = doing < cards.length ? make("small", {}, `${doing} of ${cards.length} models`) : null;
      return make("label", {}, input, make("span", {}, taskName(name), note));
    }),
  );
}

async function compareAgain() {
  // A model that was down may be back, and its card may say other things.
  if (!models.length || models.some((model) => model.error)) await loadModels();
  await comparison.run(readPlace().task);
}

function showView() {
  const { view } = readPlace();
  const onModels = view === "models";
  byId("compare-view").hidden = onModels;
  byId("models-view").hidden = !onModels;
  byId("to-compare").toggleAttribute("aria-current", !onModels);
  byId("to-models").toggleAttribute("aria-current", onModels);
  if (onModels) return;
  for (const input of document.querySelectorAll("input[name=view]")) input.checked = input.value === view;
  comparison.view = view;
}

function showOpacity() {
  const { opacity } = readPlace();
  byId("opacity").value = opacity;
  byId("opacity-text").textContent = `${opacity} %`;
  comparison.opacity = opacity / 100;
}

function listen() {
  for (const [id, view] of [["to-compare", "side"], ["to-models", "models"]]) {
    byId(id).addEventListener("click", (event) => {
      event.preventDefault();
      writePlace({ view }, { step: true });
      showView();
    });
  }
  for (const input of document.querySelectorAll("input[name=view]")) {
    input.addEventListener("change", () => {
      writePlace({ view: input.value });
      showView();
    });
  }
  byId("opacity").addEventListener("input", () => {
    writePlace({ opacity: Number(byId("opacity").value) });
    showOpacity();
  });
  byId("zoom-in").addEventListener("click", () => comparison.viewport.zoomAt(1.5));
  byId("zoom-out").addEventListener("click", () => comparison.viewport.zoomAt(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => comparison.viewport.reset());
  byId("again").addEventListener("click", async () => {
    await loadModels();
    await comparison.run(readPlace().task);
  });
  byId("token-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    keepToken(byId("token").value.trim());
    byId("token").value = "";
    await loadModels();
    await comparison.run(readPlace().task);
  });
  window.addEventListener("popstate", () => {
    showView();
    showOpacity();
  });
}

async function start() {
  listen();
  showView();
  showOpacity();
  showTasks();
  const { takeSample } = offerPictures((picture) => {
    showProblem("");
    byId("picture-name").textContent = `${picture.name}, ${picture.bitmap.width} × ${picture.bitmap.height} pixels. `;
    writePlace({ sample: picture.sample });
    comparison.picture = picture;
    compareAgain();
  }, showProblem);
  await loadModels();
  await comparison.run(readPlace().task);
  const { sample } = readPlace();
  if (SAMPLES.some(({ name }) => name === sample) && !comparison.hasPicture) await takeSample(sample);
}

start();
