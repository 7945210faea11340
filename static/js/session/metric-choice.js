// The choice of a metric or a measure: buttons side by side, or a list with a search where there are many.
import { el } from "../dom.js";
import { number } from "../wording.js";
import { grouped, MANY_METRICS, matching, titleOf } from "./metric-names.js";

/** @typedef {import("./metric-names.js").Phrases} Phrases */

/**
 * Fill a box with the choice of metrics.
 * @param {HTMLElement} box
 * @param {string[]} metrics
 * @param {Phrases} phrases
 * @param {() => string} current which one is shown
 */
export function offerMetrics(box, metrics, phrases, current) {
  const isMany = metrics.length > MANY_METRICS;
  box.className = isMany ? "row" : "seg seg--scroll";
  box.role = isMany ? "group" : "radiogroup";
  /** @param {string} metric */
  const button = (metric) => radio("metric", metric, titleOf(metric, phrases), metric === current());
  box.replaceChildren(...(isMany ? list(metrics, phrases, current) : metrics.map(button)));
  showChosen(box);
}

/**
 * Scroll a row of buttons so that the chosen one is in sight.
 * @param {HTMLElement} box
 */
export function showChosen(box) {
  const label = box.querySelector(":checked")?.closest("label");
  if (!label) return;
  const [place, whole] = [label.getBoundingClientRect(), box.getBoundingClientRect()];
  if (place.left < whole.left || place.right > whole.right) {
    box.scrollLeft += place.left - whole.left - (whole.width - place.width) / 2;
  }
}

/**
 * @param {string} name
 * @param {string} value
 * @param {string} title
 * @param {boolean} isChosen
 */
export function radio(name, value, title, isChosen) {
  const input = el("input", { type: "radio", name, value });
  input.checked = isChosen;
  return el("label", {}, input, title);
}

/**
 * A list of measures by name.
 * @param {string[]} measures
 * @param {(measure: string) => string} title
 * @param {string | undefined} shown
 */
export function measureList(measures, title, shown) {
  const options = measures.map((value) => el("option", { value }, title(value)));
  const select = el("select", { class: "select select--s", name: "measure", "aria-label": "Measure" }, ...options);
  if (shown) select.value = shown;
  return select;
}

/**
 * A search, and a list in groups.
 * @param {string[]} metrics
 * @param {Phrases} phrases
 * @param {() => string} current
 */
function list(metrics, phrases, current) {
  const select = el("select", { class: "select select--s", name: "metric", "aria-label": "Metric" });
  const placeholder = `Find one of ${number(metrics.length)} metrics`;
  const words = { placeholder, "aria-label": "Find a metric", autocomplete: "off" };
  const search = el("input", { class: "input", type: "search", ...words });
  const fill = () => {
    const found = matching(metrics, search.value, phrases);
    const shown = found.includes(current()) ? found : [current(), ...found];
    select.replaceChildren(...[...grouped(shown)].map(([group, members]) => options(group, members, phrases)));
    select.value = current();
  };
  search.addEventListener("input", fill);
  fill();
  return [search, select];
}

/**
 * @param {string} group
 * @param {string[]} metrics
 * @param {Phrases} phrases
 */
function options(group, metrics, phrases) {
  return el("optgroup", { label: group }, ...metrics.map((value) => el("option", { value }, titleOf(value, phrases))));
}
