// What a person did to a part of the page outlives the answer that replaces the part. Answers that failed are reported.
import { all, first, one } from "./dom.js";
import { closeMenus } from "./menus.js";
import { localise, setNow } from "./times.js";
import { toast } from "./toasts.js";

/** @typedef {HTMLInputElement | HTMLTextAreaElement} Field */

const FIELDS = "input[id], textarea[id]";
/** @type {Set<string>} */
let open = new Set();
/** @type {{ id: string, state: object }[]} */
let kept = [];

export function startSwaps() {
  document.addEventListener("htmx:beforeSwap", remember);
  document.addEventListener("htmx:afterSwap", restore);
  document.addEventListener("htmx:afterRequest", ({ detail: { elt, successful } }) => {
    if (successful && elt.matches("form[hx-post]")) markAsSent(elt);
  });
  document.addEventListener("htmx:afterRequest", closeDialog);
  for (const name of /** @type {const} */ (["htmx:sendError", "htmx:timeout"])) {
    document.addEventListener(name, ({ detail }) => {
      if (detail.requestConfig?.verb === "post") toast(UNANSWERED, "warning", "wait");
    });
  }
  document.addEventListener("htmx:responseError", ({ detail: { xhr, elt } }) => {
    if (elt.matches("[data-quiet]")) return; // it asks again by itself
    if (!xhr.getResponseHeader("HX-Trigger") && xhr.status !== 401) toast(failure(xhr.status), "warning", "bad");
  });
}

const UNANSWERED = "The server did not answer, so it may not have been done. Look before you try again.";

/** @param {number} status */
function failure(status) {
  if (status === 404) return "This is gone: somebody else deleted it.";
  if (status === 503) return "The database does not answer now. Try again in a moment.";
  return "The server could not do this. Its log tells more.";
}

/** @param {HtmxEvent} event */
function remember(event) {
  const { target, xhr } = event.detail;
  if (xhr.status === 422) event.detail.shouldSwap = true; // a form with its sentences
  open = new Set(all("details[open][id]", target.parentElement ?? target).map((node) => node.id));
  const unsent = target.id === "dialog-body" ? [] : /** @type {Field[]} */ (all(FIELDS, target)).filter(isUnsent);
  const scrolled = all("[id]", target).filter((node) => node.scrollTop || node.scrollLeft);
  kept = [
    ...unsent.map((field) => ({ id: field.id, state: stateOf(field) })),
    ...scrolled.map(({ id, scrollTop, scrollLeft }) => ({ id, state: { scrollTop, scrollLeft } })),
  ];
}

/** @param {HtmxEvent} event */
function restore({ detail: { target } }) {
  for (const id of open) {
    const menu = document.getElementById(id);
    if (menu) /** @type {HTMLDetailsElement} */ (menu).open = true;
  }
  for (const { id, state } of kept) {
    const node = document.getElementById(id);
    if (node) Object.assign(node, state);
  }
  for (const node of all("[data-now]")) if (node !== document.body) setNow(node.dataset.now ?? "");
  localise(document);
  if (target.id === "dialog-body") {
    closeMenus();
    const dialog = /** @type {HTMLDialogElement} */ (one("#dialog"));
    if (!dialog.open) dialog.showModal();
  }
  first("[autofocus]", target)?.focus();
}

/**
 * What one typed or ticked outlives a refresh of its part until it is sent. A filter sends itself.
 * @param {Field} field
 */
function isUnsent(field) {
  if (field.closest("form[hx-get]")) return false;
  return isBox(field) ? field.checked !== field.defaultChecked : field.value !== field.defaultValue;
}

/** @param {Field} field */
function stateOf(field) {
  if (isBox(field)) return { checked: field.checked };
  const { value, selectionStart, selectionEnd } = field;
  return { value, selectionStart, selectionEnd };
}

/**
 * @param {Field} field
 * @returns {field is HTMLInputElement}
 */
const isBox = (field) => field.type === "checkbox";

/** @param {HTMLElement} form */
function markAsSent(form) {
  for (const field of /** @type {Field[]} */ (all("input, textarea", form))) field.defaultValue = field.value;
}

/** @param {HtmxEvent} event */
function closeDialog({ detail }) {
  if (!detail.elt.closest("#dialog") || detail.requestConfig?.verb !== "post") return;
  const isRefused = detail.failed && detail.xhr.status !== 422;
  if (detail.xhr.status === 204 || isRefused) /** @type {HTMLDialogElement} */ (one("#dialog")).close();
}
