/** Text that is to be taken along: copied, and shown where browsers do not copy. */

/**
 * @param {string} text
 * @param {{box: HTMLTextAreaElement, state: HTMLElement}} place where it is seen, and what became of it
 * @param {string} copied what is said then
 */
export async function offerText(text, { box, state }, copied) {
  box.value = text;
  box.rows = text.split("\n").length;
  box.hidden = false;
  try {
    await navigator.clipboard.writeText(text);
    state.textContent = copied;
  } catch {
    // Browsers give the clipboard to localhost and to HTTPS only.
    state.textContent = "The browser does not let this page copy: copy the text, it is selected.";
    box.select();
  }
}

/** @param {Blob} blob @param {string} name */
export function saveFile(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
