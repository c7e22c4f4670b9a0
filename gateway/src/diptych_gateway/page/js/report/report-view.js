/** A report of `diptych eval`: what it found, and its pictures to be compared anew. */

import { byId, make } from "../common/dom.js";

/** @implements {import("../views.js").View} */
export class ReportView {
  #onPicture;
  /** Pictures as they were measured, by the last part of their name. */
  #originals = new Map();

  /** @param {(file: Blob, name: string) => void} onPicture is given the picture to compare */
  constructor(onPicture) {
    this.#onPicture = onPicture;
    const input = byId("report-file");
    input.addEventListener("change", () => this.#open([...input.files]));
    byId("report-view").addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation(); // else it is taken for a picture
      document.body.classList.remove("dropping");
      this.#open([...event.dataTransfer.files]);
    });
  }

  show() {}

  /** @param {File[]} files a report, and pictures if there are any at hand */
  async #open(files) {
    for (const file of files) this.#originals.set(file.name, file);
    const report = files.find(({ name }) => /\.html?$/i.test(name));
    if (!report) return;
    // A document that is only parsed runs no script and loads nothing; its styles would be refused.
    const text = (await report.text()).replace(/<(style|script)[^]*?<\/\1>/gi, "");
    const parsed = new DOMParser().parseFromString(text, "text/html");
    const verdict = parsed.querySelector(".verdict");
    byId("report-said").textContent = verdict
      ? verdict.textContent
      : `“${report.name}” is not a report of diptych eval.`;
    const sections = [...parsed.querySelectorAll("section:has(article)")];
    byId("report-pictures").replaceChildren(...sections.map((each) => this.#section(each)));
  }

  #section(section) {
    const articles = [...section.querySelectorAll("article")];
    return make(
      "section",
      {},
      make("h2", {}, section.querySelector("h2").textContent),
      make("ul", {}, ...articles.map((each) => this.#item(each))),
    );
  }

  #item(article) {
    const name = article.dataset.name ?? "";
    // A picture that stands in two lists is drawn in the first.
    const again = article.querySelector("a")?.getAttribute("href")?.slice(1);
    const holder = again ? article.ownerDocument.getElementById(again) : article;
    const address = holder?.querySelector("image")?.getAttribute("href") ?? "";
    const small = address.startsWith("data:image/webp;base64,") ? address : "";
    const values = [...article.querySelectorAll(".legend li")].map((each) => each.textContent);
    const compare = () => {
      const file = this.#originals.get(name.split("/").pop()) ?? blobOf(small);
      if (file) this.#onPicture(file, name);
    };
    return make(
      "li",
      {},
      make(
        "button",
        { type: "button", onclick: compare },
        small ? make("img", { src: small, alt: "" }) : null,
        make("strong", {}, name),
        ...values.map((each) => make("small", {}, each)),
      ),
    );
  }
}

/** @param {string} address a `data:` address, which `fetch` may not ask here */
function blobOf(address) {
  if (!address) return null;
  const bytes = Uint8Array.from(atob(address.split(",")[1]), (each) => each.charCodeAt(0));
  return new Blob([bytes], { type: "image/webp" });
}
