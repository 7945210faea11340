// The global model's chart: a measure by version.
import { first, one } from "../dom.js";
import { drawFigure } from "../plot.js";
import { measured } from "../wording.js";
import { measureList, radio } from "./metric-choice.js";
import { titleOf } from "./metric-names.js";
import { showTable } from "./tables.js";

/** @typedef {import("../plot.js").Figure} Figure */

/** @typedef {import("./metric-names.js").Phrases} Phrases */

/** @param {string} text */
const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

const MANY_MEASURES = 4; // more are a list

export class GlobalModel {
  /** @param {Phrases} phrases */
  constructor(phrases) {
    /** @param {string} measure */
    this.titleOf = (measure) => capital(titleOf(measure, phrases));
    /** @param {string} measure */
    this.phraseOf = (measure) => phrases.get(measure) ?? measure;
    this.plot = one("#global");
    this.measures = one("[data-measures]");
    this.key = one("[data-global-key]");
    this.drawn = ""; // the figures that are in the picture
    this.measures.addEventListener("input", () => this.draw());
    one("[data-global-table]").addEventListener("click", () => this.showTable());
  }

  get text() {
    return one("#global-figures").textContent ?? "";
  }

  /** @returns {[measure: string, figure: Figure][]} */
  get figures() {
    return Object.entries(JSON.parse(this.text));
  }

  /** Draw if the figures are not those in the picture. */
  drawNew() {
    const { text } = this;
    if (text === this.drawn) return;
    this.drawn = text;
    this.draw();
  }

  draw() {
    const { figures } = this;
    /** @type {HTMLInputElement | HTMLSelectElement | null} */
    const chosen = first("input[name=measure]:checked, select[name=measure]");
    const wanted = chosen?.value;
    const [measure, figure] = figures.find(([name]) => name === wanted) ?? figures[0] ?? [];
    this.offerMeasures(
      figures.map(([name]) => name),
      measure,
    );
    this.plot.hidden = !figure;
    this.key.hidden = !figure;
    one("[data-no-global]").hidden = Boolean(figure);
    this.measures.hidden = figures.length < 2;
    if (!measure || !figure) return;
    const { data } = figure;
    for (const meta of ["central", "federated"]) {
      one(`[data-key="${meta}"]`, this.key).hidden = !data.some((trace) => trace.meta === meta);
    }
    this.nameBest(measure, data);
    this.plot.dataset.versions = String(Math.max(...data.map(({ x }) => x.length)));
    drawFigure(this.plot, figure);
  }

  /**
   * @param {string[]} names
   * @param {string | undefined} shown
   */
  offerMeasures(names, shown) {
    if (this.measures.dataset.names === names.join()) return;
    this.measures.dataset.names = names.join();
    const isMany = names.length > MANY_MEASURES;
    this.measures.className = isMany ? "" : "seg";
    this.measures.role = isMany ? null : "radiogroup";
    const buttons = () => names.map((name) => radio("measure", name, this.titleOf(name), name === shown));
    this.measures.replaceChildren(...(isMany ? [measureList(names, this.titleOf, shown)] : buttons()));
  }

  /**
   * @param {string} measure
   * @param {PlotlyTrace[]} data
   */
  nameBest(measure, data) {
    const best = data.find(({ meta }) => meta === "best");
    if (!best) throw new Error(`the figure of ${measure} has no best version`);
    const value = measured(best.y[0]);
    one("[data-best]").textContent = `best, v${best.x[0]}: ${value}`;
    this.plot.setAttribute("aria-label", `${this.phraseOf(measure)} by version; the best is ${value} in v${best.x[0]}`);
  }

  showTable() {
    const columns = this.figures.flatMap(([measure, { data }]) =>
      data.filter(({ meta }) => meta !== "best").map((trace) => column(this.phraseOf(measure), trace)),
    );
    const versions = [...new Set(columns.flatMap(({ at }) => [...at.keys()]))].sort((a, b) => b - a);
    const rows = versions.map((version) => [
      `v${version}`,
      ...columns.map(({ at }) => at.get(version)?.toFixed(4) ?? "–"),
    ]);
    showTable("The global model as a table", ["Version", ...columns.map(({ head }) => head)], rows);
  }
}

/**
 * @param {string} phrase the measure's title
 * @param {PlotlyTrace} trace
 */
function column(phrase, { meta, x, y }) {
  /** @type {Map<number, number | null>} */
  const at = new Map(Array.from(x, (version, i) => [Number(version), y[i]]));
  return { head: `${phrase}, ${meta}`, at };
}
