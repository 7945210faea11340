// Filters of a list: what they say stays in the address, so that a reload keeps it.
import { around, first } from "./dom.js";

const FORM = "form[data-keep-url]";

export function startFilters() {
  document.addEventListener("change", keepAddress);
  document.addEventListener("input", keepAddress);
  document.addEventListener("click", turnPage);
}

/** @param {Event} event */
function keepAddress(event) {
  const form = /** @type {HTMLFormElement | null} */ (around(event, FORM));
  if (form) history.replaceState(null, "", filtered(location.href, textsOf(form)));
}

/**
 * The address with what a filter says and nothing else.
 * @param {string} address
 * @param {Iterable<[string, string]>} values
 */
export function filtered(address, values) {
  const url = new URL(address);
  url.search = "";
  for (const [name, value] of values) if (value) url.searchParams.set(name, value);
  return url;
}

/**
 * A person may turn the page before the list of what was just typed is there. The link then leads to the first page of
 * that list, not to the next page of the old one.
 * @param {Event} event
 */
function turnPage(event) {
  const link = /** @type {HTMLAnchorElement | null} */ (around(event, ".pager a"));
  const form = /** @type {HTMLFormElement | null} */ (first(FORM));
  if (link && form) link.href = paged(link.href, textsOf(form));
}

/**
 * A link to a page of a list, or to the first page where the filter says something else than the link.
 * @param {string} address
 * @param {Iterable<[string, string]>} values
 */
export function paged(address, values) {
  const url = new URL(address);
  for (const [name, typed] of values) {
    if ((url.searchParams.get(name) ?? "") === typed.trim()) continue;
    url.searchParams.set(name, typed.trim());
    url.searchParams.delete("page");
  }
  return url.href;
}

/**
 * @param {HTMLFormElement} form
 * @returns {[string, string][]}
 */
function textsOf(form) {
  return [...new FormData(form)].map(([name, value]) => [name, String(value)]);
}
