// Colours on request, sortable tables, the wipe. The report says everything without it too.
"use strict";
(() => {
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  theme.hidden = false;
  const dark = () =>
    (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) ===
    "dark";
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
  });

  for (const figure of document.querySelectorAll(".wipe")) {
    const slider = figure.querySelector("input");
    const width = Number(figure.dataset.width);
    slider.hidden = false;
    slider.addEventListener("input", () => {
      const at = (width * slider.value) / 100;
      figure.querySelector(".left").setAttribute("width", at);
      figure.querySelector(".right").setAttribute("x", at);
      figure.querySelector(".right").setAttribute("width", width - at);
      for (const end of ["x1", "x2"]) figure.querySelector(".edge").setAttribute(end, at);
    });
  }

  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? cell.textContent;
    return text === "" || isNaN(text) ? text : Number(text);
  };
  const order = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(b);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.ariaSort !== "ascending";
        for (const each of heads) each.removeAttribute("aria-sort");
        head.ariaSort = up ? "ascending" : "descending";
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => {
          const [left, right] = [value(a, column), value(b, column)];
          const turned = up || left === "" || right === "" ? 1 : -1;
          return turned * order(left, right);
        });
        table.tBodies[0].append(...rows);
      });
    });
  }
})();
