/** How pictures are shown: opacity, grey, names, and which part of them. */

import { readState, writeState } from "./common/address.js";
import { byId } from "./common/dom.js";

const SWITCHES = ["grey", "names"];

/**
 * @param {import("./views.js").Views} views are told
 * @param {() => import("./canvas/viewport.js").Viewport} viewport of the view that is seen
 */
export function followLook(views, viewport) {
  const showOpacity = () => {
    const { opacity } = readState();
    byId("opacity").value = opacity;
    byId("opacity-text").textContent = `${opacity} %`;
    views.takeOpacity(opacity / 100);
  };
  const showSwitches = () => {
    const state = readState();
    const [grey, names] = SWITCHES.map((id) => (byId(id).checked = state[id] === "1"));
    views.takeLook({ grey, names });
  };
  byId("opacity").addEventListener("input", () => {
    writeState({ opacity: Number(byId("opacity").value) });
    showOpacity();
  });
  for (const id of SWITCHES) {
    byId(id).addEventListener("change", () => {
      writeState({ [id]: byId(id).checked ? "1" : "0" });
      showSwitches();
    });
  }
  byId("zoom-in").addEventListener("click", () => viewport().zoomAt(1.5));
  byId("zoom-out").addEventListener("click", () => viewport().zoomAt(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => viewport().reset());
  // On a narrow screen all choosers are behind a button.
  byId("how-toggle").addEventListener("click", () => {
    const open = byId("picture-tools").classList.toggle("open");
    byId("how-toggle").setAttribute("aria-expanded", String(open));
  });
  showOpacity();
  showSwitches();
}
