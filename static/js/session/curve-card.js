// The card of the live curves: its controls, what it says about the picture, its table.
import { MANY } from "../curves.js";
import { around, first, one } from "../dom.js";
import { isTaken } from "../keys.js";
import { savePng } from "../plot.js";
import { measured, number } from "../wording.js";
import { offerMetrics } from "./metric-choice.js";
import { chosen, sorted, titleOf } from "./metric-names.js";
import { showTable } from "./tables.js";
import { isolatedIn, smoothingIn, withView, zoomIn } from "./view.js";

/** @typedef {import("../curves.js").Curves} Curves */
/** @typedef {import("../points.js").Added} Added */
/** @typedef {import("./loading.js").Loading} Loading */

const THINNED = "Of each stretch the lowest, the highest and the last one are drawn; zoom in to see all.";
const HOW_MANY =
  "Grey: each client. Band: from the 10 to the 90 % quantile, with the median. Press a name to bring a client out.";
const HOW = "Faint: as reported. Strong: smoothed. Press a name to isolate it, with Shift to add another.";

export class CurveCard {
  /**
   * @param {HTMLElement} card
   * @param {Curves} curves
   * @param {import("./metric-names.js").Phrases} phrases
   */
  constructor(card, curves, phrases) {
    this.card = card;
    this.curves = curves;
    this.phrases = phrases;
    this.points = curves.points;
    this.plot = curves.node;
    this.smooth = /** @type {HTMLInputElement} */ (one("[name=smooth]", card));
    /** @type {Loading | null} */
    this.loading = null;
    this.readAddress();
    curves.onDrawn = () => this.show();
    curves.onZoom = () => this.looked();
  }

  /** @param {Loading} loading */
  start(loading) {
    this.loading = loading;
    this.card.addEventListener("input", (event) => this.input(/** @type {HTMLInputElement} */ (event.target)));
    this.card.addEventListener("click", (event) => this.press(around(event, "[data-chart]")?.dataset.chart));
    this.curves.legend.box.addEventListener("click", (event) => this.isolate(event));
    document.addEventListener("keydown", (event) => {
      if (isTaken(event)) return;
      if (event.key === "a") this.showAll();
      if (event.key === "r") this.resetZoom();
    });
  }

  // ---- the view, in the address

  readAddress() {
    const { curves, smooth } = this;
    const address = new URLSearchParams(location.search);
    curves.metric = address.get("metric") ?? "";
    curves.x = /** @type {Curves["x"]} */ (this.check("x", address) ?? curves.x);
    curves.y = this.check("y", address) ?? curves.y;
    smooth.value = smoothingIn(address) ?? smooth.value;
    this.setSmoothing();
    curves.all = address.get("spikes") === "all";
    curves.only = isolatedIn(address);
    curves.zoom = zoomIn(address);
  }

  /**
   * Check the radio button that the address names; its value, or undefined.
   * @param {string} name
   * @param {URLSearchParams} address
   */
  check(name, address) {
    const value = CSS.escape(address.get(name) ?? "");
    const input = /** @type {HTMLInputElement | null} */ (first(`[name="${name}"][value="${value}"]`, this.card));
    if (input) input.checked = true;
    return input?.value;
  }

  setSmoothing() {
    this.curves.weight = Number(this.smooth.value);
    const shown = this.smooth.nextElementSibling;
    if (shown) shown.textContent = this.curves.weight.toFixed(2);
  }

  keep() {
    const { value, defaultValue } = this.smooth;
    const { metric, x, y, only, zoom, all } = this.curves;
    const url = withView(location.href, { metric, x, y, smooth: value, only, zoom, all }, { smooth: defaultValue });
    if (url.href !== location.href) history.replaceState(null, "", url);
  }

  /** Another part is looked at. */
  looked() {
    this.keep();
    this.loading?.lookCloser();
  }

  // ---- what a person does

  /** @param {HTMLInputElement} input */
  async input({ name, value }) {
    const { curves } = this;
    if (name === "find") curves.legend.filter(value);
    else if (this.take(name, value)) {
      this.keep();
      if (!curves.metric) return;
      await curves.draw();
      const isTheirs = name === "smooth" || name === "x" || !this.points.holds(curves.metric);
      if (this.points.thinned && isTheirs) this.loading?.loadSoon();
    }
  }

  /**
   * Take a choice in. False if it is none of the curves.
   * @param {string} name
   * @param {string} value
   */
  take(name, value) {
    const { curves } = this;
    if (name === "smooth") {
      this.setSmoothing();
      return true;
    }
    if (name === "metric") curves.metric = value;
    else if (name === "x") curves.x = /** @type {Curves["x"]} */ (value);
    else if (name === "y") curves.y = value;
    else return false;
    curves.zoom = null;
    curves.all = false;
    return true;
  }

  /** @param {string | undefined} what a button does */
  press(what) {
    const { curves, plot } = this;
    if (what === "reset") this.resetZoom();
    if (what === "all") this.showAll();
    if (what === "png" && !plot.hidden) savePng(plot, this.filename);
    if (what === "table") this.showTable();
    if (what === "spikes") curves.reset();
  }

  get filename() {
    return `${one("h1").textContent} ${this.curves.metric}`.replace(/[^\w.-]+/g, "-");
  }

  /** @param {MouseEvent} event */
  isolate(event) {
    const { curves } = this;
    const name = around(event, "button")?.dataset.name;
    if (name === undefined) return;
    const addsToCrowd = curves.many && curves.only.size > 0 && !curves.only.has(name);
    curves.isolate(name, event.shiftKey || addsToCrowd);
    this.looked();
  }

  showAll() {
    this.curves.showAll();
    this.looked();
  }

  resetZoom() {
    if (!this.plot.hidden) this.curves.reset();
  }

  // ---- the picture

  /** @param {Added[]} added */
  append(added) {
    if (this.listMetrics() || this.plot.hidden) this.drawAnew();
    else this.curves.append(added);
  }

  async drawAnew() {
    this.listMetrics();
    if (!this.curves.metric) {
      this.show();
      return;
    }
    this.plot.hidden = false;
    one("[data-no-curve]").hidden = true;
    one("[data-curves-foot]").hidden = false;
    await this.curves.draw();
  }

  /** The choice of metrics, of those that were reported. True if there are new ones. */
  listMetrics() {
    const { curves, points } = this;
    const box = one("[data-metrics]");
    const names = sorted(points.names);
    const metric = chosen(names, curves.metric || null, points.metric);
    if (metric) curves.metric = metric;
    if (names.join() === box.dataset.names) return false;
    box.dataset.names = names.join();
    offerMetrics(box, names, this.phrases, () => curves.metric);
    return true;
  }

  /** What a test, and a person with the inspector, can read off the chart; and what the card says about it. */
  show() {
    const { curves, plot, points } = this;
    const counts = points.counts(curves.metric);
    const whole = Object.values(counts).reduce((a, b) => a + b, 0);
    plot.dataset.points = JSON.stringify(counts);
    plot.dataset.metric = curves.metric;
    plot.dataset.lastSeq ??= String(points.seq);
    plot.dataset.ready = String(this.loading?.isLoaded ?? false);
    if (!whole) return;
    one("[data-count]").textContent = this.countOf(whole);
    one("[data-spiky]").hidden = !curves.spiky;
    one("[data-how]").textContent = curves.many ? HOW_MANY : HOW;
    one('[data-chart="all"]').hidden = !curves.only.size;
    one("[data-legend-filter]").hidden = curves.shown.length <= MANY;
    plot.setAttribute("aria-label", this.label);
  }

  /** @param {number} whole */
  countOf(whole) {
    const { curves, points } = this;
    const isThinned = (points.thinned && curves.source === points) || curves.drawn < curves.whole;
    return isThinned
      ? `${number(whole)} points. ${THINNED}`
      : `${number(whole)} points, every one ${curves.zoom ? "in sight " : ""}drawn.`;
  }

  get label() {
    const { curves, points } = this;
    const values = curves.shown.map((client, i) => `${client.name} ${measured(curves.last(i))}`);
    const now = `${values.slice(0, 6).join(", ")}${values.length > 6 ? " and more" : ""}`;
    const title = titleOf(curves.metric, this.phrases);
    const what = `${title} of ${curves.shown.length} clients over ${points.rounds} rounds`;
    return `${what}. Now: ${now}. The values are in the list below.`;
  }

  showTable() {
    const { curves, points } = this;
    if (!curves.metric) return;
    const counts = points.counts(curves.metric);
    const rows = curves.shown.map(({ name }, i) => {
      const finite = [...curves.lines[i].y.all].filter(Number.isFinite);
      return [name, number(counts[name] ?? 0), ...[finite.at(-1), ...extremes(finite)].map(measured)];
    });
    showTable(
      `${titleOf(curves.metric, this.phrases)} as a table`,
      ["Client", "Points", "Last", "Lowest", "Highest"],
      rows,
    );
  }
}

/**
 * The lowest and the highest. (Math.min(...values) would overflow the stack.)
 * @param {number[]} values
 */
function extremes(values) {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}
