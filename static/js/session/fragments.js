// The parts of the session's page: what they show stays in the address, and no answer takes away what was typed since.
import { first, one } from "../dom.js";

/** @type {WeakSet<EventTarget>} */
const again = new WeakSet(); // forms in which somebody chose again before the answer came

/** @param {(id: string) => void} onSwap called with the id of a part that was filled */
export function startFragments(onSwap) {
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    // An answer that does not know what somebody chose or typed since is ignored: the form asks again in a moment.
    if (isOld(detail) || isTyped(detail)) detail.shouldSwap = false;
  });
  document.addEventListener("htmx:trigger", ({ target }) => {
    if (target instanceof Element && target.matches("form.htmx-request")) again.add(target);
  });
  let why = reasons()?.dataset.why;
  document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
    const fragment = document.getElementById(target.id);
    if (fragment?.dataset.keeps) keepInAddress(fragment);
    onSwap(target.id);
    why = announceReason(why);
  });
}

const reasons = () => first("[data-why]");

/** @param {HtmxDetail} detail */
const isOld = ({ requestConfig: { elt } }) => again.delete(elt);

/**
 * Whether somebody typed more into the part than its answer knows of.
 * @param {HtmxDetail} detail
 */
function isTyped({ target, requestConfig: { elt, formData } }) {
  const input = document.activeElement;
  if (!(input instanceof HTMLInputElement) || input.type !== "search" || !target.contains(input)) return false;
  return input.value !== (elt.contains(input) && elt !== target ? formData.get(input.name) : input.defaultValue);
}

/**
 * A part's own view, such as which events one wants to see: `data-keeps` names its parameters.
 * @param {HTMLElement} fragment
 */
function keepInAddress({ dataset: { keeps = "", query = "" } }) {
  const url = kept(location.href, keeps.split(" "), query);
  if (url.href !== location.href) history.replaceState(null, "", url);
}

/**
 * An address with some parameters as a query has them, or without.
 * @param {string} address
 * @param {string[]} names
 * @param {string} query
 */
export function kept(address, names, query) {
  const url = new URL(address);
  const chosen = new URLSearchParams(query);
  for (const name of names) {
    const value = chosen.get(name);
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  return url;
}

/**
 * A screen reader hears the first reason, and only when the reasons change.
 * @param {string | undefined} before
 */
function announceReason(before) {
  const why = reasons();
  if (!why || why.dataset.why === before) return before;
  if (before !== undefined) one("#say").textContent = first("li", why)?.textContent?.trim() ?? "";
  return why.dataset.why;
}
