// The tables behind the charts, in the dialog.
import { el, one } from "../dom.js";

/**
 * @param {string} heading
 * @param {string[]} heads of the columns
 * @param {string[][]} rows the first cell of each is its head
 */
export function showTable(heading, heads, rows) {
  const head = el("tr", {}, ...heads.map((text, k) => el("th", { scope: "col", class: k ? "num" : "" }, text)));
  const body = rows.map(([name, ...values]) =>
    el("tr", {}, el("th", { scope: "row" }, name), ...values.map((value) => el("td", { class: "num" }, value))),
  );
  const table = el("table", { class: "table" }, el("thead", {}, head), el("tbody", {}, ...body));
  const close = el("button", { class: "btn", type: "button", "data-close": "" }, "Close");
  const dialog = el(
    "div",
    { class: "dialog" },
    el("h2", { id: "dialog-title" }, heading),
    el("div", { class: "table-wrap" }, table),
    el("div", { class: "btn-row" }, close),
  );
  one("#dialog-body").replaceChildren(dialog);
  /** @type {HTMLDialogElement} */ (one("#dialog")).showModal();
}
