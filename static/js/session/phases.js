// The phase of each client stands beside its name in the legend: taken from its lane, so that both say the same.
import { all, el, first } from "../dom.js";

/** @param {HTMLElement} legend */
export function showPhases(legend) {
  const buttons = new Map(all("[data-name]", legend).map((button) => [button.dataset.name, button]));
  for (const lane of all(".lane[data-client]")) {
    const button = buttons.get(lane.dataset.client);
    const note = button && first(".legend__note", button);
    const status = first(".status", lane);
    const picture = status?.querySelector("svg");
    const text = status?.textContent ?? "";
    if (!note || !status || !picture || note.title === text) continue;
    const copy = /** @type {SVGElement} */ (picture.cloneNode(true));
    copy.setAttribute("class", `icon icon--s ${[...status.classList].find((name) => name.startsWith("tone-"))}`);
    note.title = text;
    note.replaceChildren(copy, el("span", { class: "sr" }, text));
  }
}
