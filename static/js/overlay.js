// Several lines on one chart: sessions beside each other, or what one client did in each of its sessions.
import { startCompareForm } from "./compare-form.js";
import { startCounts } from "./counts.js";
import { csv } from "./csv.js";
import { around, el, first, one, svg } from "./dom.js";
import { alpha, CONFIG, color, layout, savePng, showReadout } from "./plot.js";
import { measured } from "./wording.js";

/**
 * @typedef {object} Series
 * @property {string} name
 * @property {number} number from 1
 * @property {string} colour the token of it
 * @property {Record<string, number[]>} x by axis
 * @property {Map<string, (number | null)[]>} y by measure
 */

/** @typedef {{ series: Series[], axes: Record<string, string>, thinned: boolean }} Data */

// Five lines and more are not told apart by colour alone.
const DASHES = ["solid", "solid", "solid", "solid", "6px,3px", "6px,3px", "2px,2px", "2px,2px"];
const NAMED = 8; // lines in the read-out

class Overlay {
  /** @param {HTMLElement} card */
  constructor(card) {
    this.card = card;
    this.plot = /** @type {PlotlyNode} */ (one("#overlay"));
    this.legend = one("[data-legend]", card);
    this.readout = one("[data-readout]", card);
    this.form = /** @type {HTMLFormElement} */ (one("[data-overlay-form]", card));
    /** @type {Data | null} */
    this.data = null;
    this.read = ""; // what the data were read from
    const address = new URLSearchParams(location.search);
    this.only = address.get("only") ?? ""; // the name of the line that is isolated
    this.zoom = zoomOf(address.get("zoom") ?? "");
    const log = /** @type {HTMLInputElement | null} */ (first("[name=y][value=log]", this.form));
    if (address.get("y") === "log" && log) log.checked = true;
    this.isWired = false;
    this.listen();
  }

  listen() {
    this.card.addEventListener("click", (event) => this.press(around(event, "[data-overlay-do]")?.dataset.overlayDo));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("change", () => {
      this.zoom = null;
      this.keep();
      this.draw();
    });
    addEventListener("themechange", () => this.draw());
    document.addEventListener("htmx:afterSwap", () => this.readNew());
  }

  // ---- data

  /** Draw what the page holds, if it is new. */
  readNew() {
    const text = first("#overlay-data")?.textContent ?? "";
    if (!text || text === this.read) return;
    this.read = text;
    this.data = parsed(text);
    if (!this.data.series.some(({ name }) => name === this.only)) this.only = "";
    this.offerMeasures(this.data);
    this.draw();
  }

  /**
   * Where none of the usual measures was measured, offer those that were.
   * @param {Data} data
   */
  offerMeasures({ series }) {
    const menu = /** @type {HTMLSelectElement} */ (one("[name=metric]", this.form));
    const names = [...new Set(series.flatMap(({ y }) => [...y.keys()]))];
    const isUsual = [...menu.options].some(({ value }) => names.includes(value));
    if (!isUsual && names.length) menu.replaceChildren(...names.map((name) => el("option", {}, name)));
  }

  /** What the form says. */
  get asked() {
    const { metric = "", x = "round", y = "linear" } = Object.fromEntries(new FormData(this.form));
    return { metric: String(metric), x: String(x), y: String(y) };
  }

  /** @param {string} metric */
  shown(metric) {
    return this.data?.series.filter(({ y }) => y.get(metric)?.some((value) => value !== null)) ?? [];
  }

  /** @param {string} x */
  axis(x) {
    return this.data?.axes[x] ?? x;
  }

  // ---- the picture

  async draw() {
    const { metric, x, y } = this.asked;
    const lines = this.shown(metric);
    this.plot.hidden = !lines.length;
    one("[data-no-overlay]", this.card).hidden = lines.length > 0;
    this.list(lines, metric);
    if (!lines.length) return;
    const look = layout({
      margin: { l: 48, r: 14, t: 6, b: 38 },
      x: { title: { text: this.axis(x) }, rangemode: "tozero", ...this.zoomed(0) },
      y: { type: y === "log" ? "log" : "linear", tickformat: "~g", ...this.zoomed(2) },
      uirevision: `${metric}/${x}/${y}`,
    });
    const traces = lines.map((line) => trace(line, metric, x, this.only));
    await Plotly.react(this.plot, traces, look, CONFIG);
    this.plot.dataset.lines = String(lines.length);
    one("[data-overlay-foot]", this.card).textContent = this.foot(metric, x);
    if (!this.isWired) this.wire();
  }

  /** @param {number} from where in the zoom an axis begins */
  zoomed(from) {
    return this.zoom ? { range: this.zoom.slice(from, from + 2), autorange: false } : {};
  }

  /**
   * @param {string} metric
   * @param {string} x
   */
  foot(metric, x) {
    const what = metric ? `${metric[0].toUpperCase()}${metric.slice(1)}, by ${this.axis(x)}.` : "";
    const thinned = this.data?.thinned ? " Of long sessions every n-th model is drawn, and the last." : "";
    return `${what}${thinned} Press a name to isolate it.`;
  }

  wire() {
    this.isWired = true;
    this.plot.on("plotly_hover", (event) => this.hover(event));
    this.plot.on("plotly_unhover", () => {
      this.readout.hidden = true;
    });
    this.plot.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((key) => /^[xy]axis\.(range|autorange)/.test(key))) return; // a new size, say
      const { xaxis, yaxis } = this.plot._fullLayout;
      this.zoom = change["xaxis.autorange"] ? null : [...xaxis.range, ...yaxis.range];
      this.keep();
    });
  }

  /**
   * @param {Series[]} lines
   * @param {string} metric
   */
  list(lines, metric) {
    const buttons = lines.map((line) => {
      const button = legendButton(line, metric, line.name === this.only);
      button.addEventListener("click", () => this.isolate(line.name));
      return button;
    });
    this.legend.replaceChildren(...buttons);
    this.legend.toggleAttribute("data-isolating", this.only !== "");
  }

  /** @param {string} name */
  isolate(name) {
    this.only = this.only === name ? "" : name;
    this.keep();
    this.draw();
  }

  /** @param {PlotlyHover} event */
  hover({ points, event }) {
    const place = `${this.axis(this.asked.x)} ${Number(points[0].x.toPrecision(4))}`;
    const rows = points
      .slice(0, NAMED)
      .map(({ data, y }) =>
        el(
          "div",
          { class: "readout__row" },
          el("span", { class: "clip" }, data.name ?? ""),
          el("span", {}, measured(y)),
        ),
      );
    this.readout.replaceChildren(el("div", { class: "readout__x" }, place), ...rows);
    showReadout(this.readout, this.plot, event, () => 8);
  }

  /** The view stays in the address. What is as usual is left out. */
  keep() {
    const url = new URL(location.href);
    const parts = new Map([...new FormData(this.form)].map(([name, value]) => [name, String(value)]));
    for (const [name, value] of parts) if (value === this.usual(name)) parts.set(name, "");
    parts.set("only", this.only);
    parts.set("zoom", this.zoom?.map((at) => Number(Number(at).toPrecision(5))).join(",") ?? "");
    for (const [name, value] of parts) {
      if (value) url.searchParams.set(name, value);
      else url.searchParams.delete(name);
    }
    history.replaceState(null, "", url);
  }

  /**
   * The first of the choices.
   * @param {string} name
   */
  usual(name) {
    const field = /** @type {HTMLInputElement | HTMLSelectElement} */ (one(`[name="${name}"]`, this.form));
    return field instanceof HTMLSelectElement ? field.options[0]?.text : field.value;
  }

  // ---- as a table, as a file

  /** @param {string | undefined} what a button does */
  press(what) {
    if (!this.data) return;
    if (what === "table") this.showTable();
    if (this.plot.hidden) return;
    if (what === "reset") Plotly.relayout(this.plot, { "xaxis.autorange": true, "yaxis.autorange": true });
    if (what === "png") savePng(this.plot, "comparison");
    if (what === "csv") this.saveCsv();
  }

  /** @returns {[name: string, at: number, value: number][]} */
  rows() {
    const { metric, x } = this.asked;
    return this.shown(metric).flatMap((line) =>
      line.x[x].flatMap((at, i) => {
        const value = line.y.get(metric)?.[i] ?? null;
        return value === null ? [] : [/** @type {[string, number, number]} */ ([line.name, at, value])];
      }),
    );
  }

  saveCsv() {
    const { metric, x } = this.asked;
    const text = csv([["name", this.axis(x), metric], ...this.rows()]);
    const href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    el("a", { href, download: "comparison.csv" }).click();
    URL.revokeObjectURL(href);
  }

  showTable() {
    const { metric, x } = this.asked;
    const heads = ["Name", this.axis(x), metric].map((name) => el("th", { scope: "col" }, name));
    const body = this.rows().map(([name, at, value]) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, name),
        el("td", { class: "num" }, String(Number(at.toPrecision(5)))),
        el("td", { class: "num" }, measured(value)),
      ),
    );
    const table = el("table", { class: "table" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...body));
    const box = { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "Values" };
    const close = el("button", { class: "btn", type: "button", "data-close": "" }, "Close");
    const title = el("h2", { id: "dialog-title" }, "As a table");
    const dialog = el("div", { class: "dialog" }, title, el("div", box, table), el("div", { class: "btn-row" }, close));
    one("#dialog-body").replaceChildren(dialog);
    /** @type {HTMLDialogElement} */ (one("#dialog")).showModal();
  }
}

/**
 * @param {string} text
 * @returns {Data}
 */
function parsed(text) {
  const data = JSON.parse(text);
  for (const line of data.series) line.y = new Map(Object.entries(line.y)); // names of measures come from clients
  return data;
}

/** @param {string} text */
function zoomOf(text) {
  const zoom = text.split(",").map(Number);
  return zoom.length === 4 && zoom.every(Number.isFinite) ? zoom : null;
}

/**
 * @param {Series} line
 * @param {string} metric
 * @param {string} x
 * @param {string} only
 * @returns {PlotlyTrace}
 */
function trace(line, metric, x, only) {
  const y = line.y.get(metric) ?? [];
  const ink = color(line.colour);
  const isOn = !only || only === line.name;
  const isPoint = y.filter((value) => value !== null).length < 2;
  const dash = DASHES[(line.number - 1) % DASHES.length];
  return {
    type: "scatter",
    mode: isPoint ? "markers" : "lines",
    name: line.name,
    x: line.x[x],
    y,
    line: { width: only === line.name ? 2.5 : 1.75, dash, color: isOn ? ink : alpha(ink, 0.16) },
    connectgaps: true,
    hoverinfo: "none",
    marker: { size: 7, color: ink },
  };
}

/**
 * @param {Series} line
 * @param {string} metric
 * @param {boolean} isPressed
 */
function legendButton(line, metric, isPressed) {
  const name = el("span", { class: "client" }, sample(line), el("span", { class: "client__name" }, line.name));
  const last = measured(line.y.get(metric)?.findLast((value) => value !== null));
  const value = el("span", { class: "legend__value" }, last);
  return el("button", { type: "button", "aria-pressed": String(isPressed) }, name, el("span"), value);
}

/** @param {Series} line */
function sample({ colour, number }) {
  const box = svg("svg", { class: `swatch c-${colour}`, viewBox: "0 0 20 10", "aria-hidden": "true" });
  const line = svg("line", { x1: 0, x2: 20, y1: 5, y2: 5 });
  if (number > 4) line.setAttribute("stroke-dasharray", number > 6 ? "2 2" : "6 3");
  box.append(line);
  return box;
}

const card = first("[data-overlay]");
if (card) new Overlay(card).readNew();
startCompareForm();
startCounts();
