/** What is on screen, to take along: COCO files, a picture, code that asks the same. */

import { readState } from "../common/address.js";
import { fetchServer } from "../common/api.js";
import { cocoDocument } from "./coco.js";
import { byId, make } from "../common/dom.js";
import { drawSideBySide } from "./overlay-png.js";
import { asCommand, asCurl, asPython } from "./snippets.js";

const CODE = [
  ["Python", asPython],
  ["command line", asCommand],
  ["curl", asCurl],
];

export class TakeAlong {
  /** @type {import("../views.js").View | null} */
  #view = null;
  #picture = null;

  constructor() {
    byId("take-code").append(
      ...CODE.map(([name, write]) =>
        make("button", { type: "button", onclick: () => this.#copy(write) }, `Copy as ${name}`),
      ),
    );
    // Whatever a view is made of, its panels say there how they stand.
    new MutationObserver(() => this.#offer()).observe(byId("main"), {
      subtree: true,
      attributeFilter: ["data-state"],
    });
  }

  /** @param {import("../views.js").View} view the one that is seen now */
  set view(view) {
    this.#view = view;
    this.#offer();
  }

  /** @param {import("../common/picture.js").Picture | null} picture */
  set picture(picture) {
    this.#picture = picture;
  }

  #offer() {
    const answers = this.#view?.answers?.() ?? [];
    byId("take").hidden = !answers.length;
    byId("take-text").hidden = true;
    byId("take-state").textContent = "";
    byId("take-files").replaceChildren(
      make("button", { type: "button", onclick: () => this.#savePicture() }, "Picture with masks (PNG)"),
      ...answers.map(({ name, answer }) =>
        make("button", { type: "button", onclick: () => this.#saveCoco(answer.modelId) }, `COCO JSON of ${name}`),
      ),
    );
  }

  #savePicture() {
    const canvas = drawSideBySide(this.#picture.bitmap, this.#view.answers(), readState().opacity / 100);
    canvas.toBlob((blob) => {
      if (blob) save(blob, `${this.#stem()}-compared.png`);
      else byId("take-state").textContent = "This picture is too large for the browser to write.";
    }, "image/png");
  }

  #saveCoco(modelId) {
    const shown = this.#view.answers().find(({ answer }) => answer.modelId === modelId);
    const text = JSON.stringify(cocoDocument(shown, this.#picture.name));
    save(new Blob([text], { type: "application/json" }), `${this.#stem()}-${modelId}.coco.json`);
  }

  #stem() {
    return this.#picture.name.replace(/\.[^.]*$/, "") || "picture";
  }

  async #copy(write) {
    const state = byId("take-state");
    const box = byId("take-text");
    state.textContent = "";
    box.hidden = true;
    let text;
    try {
      const question = this.#view.question();
      if (!question) throw new Error("No model was asked: what was painted is in the files above.");
      text = write(question, await fetchServer());
    } catch (error) {
      state.textContent = error.message;
      return;
    }
    box.value = text;
    box.rows = text.split("\n").length;
    box.hidden = false;
    try {
      await navigator.clipboard.writeText(text);
      state.textContent = "Copied. The picture has to lie where the code runs.";
    } catch {
      // Browsers give the clipboard to localhost and to HTTPS only.
      state.textContent = "The browser does not let this page copy: copy the text, it is selected.";
      box.select();
    }
  }
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
