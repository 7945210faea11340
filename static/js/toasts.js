// Toasts: sentences in the corner that go by themselves.
import { all, el, icon, one } from "./dom.js";

const SHOWN = 8000; // ms

/**
 * @param {string} sentence
 * @param {string} [name] of the icon
 * @param {string} [tone]
 */
export function toast(sentence, name = "check-circle", tone = "ok") {
  const close = el("button", { class: "btn btn--s", type: "button" }, "Close");
  const node = el("div", { class: "toast" }, icon(name, `tone-${tone}`), el("p", {}, sentence), close);
  const end = () => node.remove();
  close.addEventListener("click", end);
  one("[data-toasts]").append(node);
  setTimeout(end, SHOWN);
}

/** Show what the server sent with the page, and what it sends with later answers. */
export function startToasts() {
  for (const waiting of all("template[data-toast]")) {
    const [name, tone] = (waiting.dataset.tags ?? "").split(" ");
    toast(/** @type {HTMLTemplateElement} */ (waiting).content.textContent ?? "", name, tone);
    waiting.remove();
  }
  document.body.addEventListener("toast", ({ detail }) => toast(detail.sentence, detail.icon, detail.tone));
}
