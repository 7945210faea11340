// Counts that sites sent with an evaluation, drawn: a matrix as a heat map, a row of numbers as bars, and what follows
// from counts, such as ROC curves.
import { el, first, one } from "./dom.js";
import { tableOfDots, tableOfLines } from "./drawing-tables.js";
import { drawDots, drawLines } from "./drawings.js";
import { asTable, named, SHADES, said, shade, shares, steps, texts } from "./matrix.js";
import { CONFIG, color, layout } from "./plot.js";
import { showTable } from "./session/tables.js";
import { throttled } from "./throttled.js";

/** @typedef {import("./matrix.js").Figure} Figure */
/** @typedef {Figure | import("./drawing-tables.js").Lines | import("./drawing-tables.js").Dots} Shown */

const RESTS = 200; // ms between two drawings while the window changes its size
const FEW = 12; // rows, or examples in a bar, whose ticks are all named
// Not 0: Plotly would scale a picture of a pixel a cell by an inline style, which the page's policy forbids.
const NO_GAP = 0.01;
const NAMED = 4; // rows that have room for names of classes
const SHORT = 6; // characters of such a name
const MATRIX_MARGIN = { l: 48, r: 8, t: 6, b: 44 };

/** @type {Promise<void> | null} */
let loading = null;
let drawn = ""; // the figure in the picture, and how wide it is

export function startCounts() {
  document.addEventListener("htmx:afterSwap", draw);
  document.addEventListener("click", ({ target }) => {
    if (target instanceof Element && target.closest("[data-counts-table]")) tabulate();
  });
  addEventListener("themechange", () => redraw());
  addEventListener("resize", throttled(RESTS, draw));
  draw();
}

function redraw() {
  drawn = "";
  draw();
}

/** @returns {Shown | null} */
function figure() {
  const text = first("#counts-figure")?.textContent;
  return text ? JSON.parse(text) : null;
}

/** Draw the figure of the page, unless it is drawn already. */
async function draw() {
  const shown = figure();
  if (!shown) return;
  await plotly(one("[data-counts]").dataset.plotly ?? "");
  const plot = first("#counts-plot");
  if (!plot) return; // replaced meanwhile
  const key = `${plot.clientWidth} ${JSON.stringify(shown)}`;
  if (key === drawn && plot.dataset.drawn) return;
  drawn = key;
  plot.dataset.drawn = shown.kind;
  await drawIn(plot, shown);
}

/**
 * @param {HTMLElement} plot
 * @param {Shown} shown
 */
function drawIn(plot, shown) {
  switch (shown.kind) {
    case "matrix":
      return drawMatrix(plot, shown);
    case "lines":
      return drawLines(plot, shown);
    case "dots":
      return drawDots(plot, shown);
    default:
      return drawBars(plot, shown);
  }
}

/**
 * Plotly is large, and most of these pages never need it.
 * @param {string} src
 */
function plotly(src) {
  if (typeof Plotly !== "undefined") return Promise.resolve();
  loading ??= new Promise((resolve, reject) => {
    const script = el("script", { src });
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => reject(new Error("The charts cannot be loaded.")));
    document.head.append(script);
  });
  return loading;
}

/**
 * @param {HTMLElement} plot
 * @param {Figure} shown
 */
function drawMatrix(plot, shown) {
  const counts = /** @type {number[][]} */ (shown.counts);
  const found = shares(counts, shown.by_row);
  const { l, r, t, b } = MATRIX_MARGIN;
  const room = { width: plot.clientWidth - l - r, height: plot.clientHeight - t - b };
  const look = layout({
    margin: MATRIX_MARGIN,
    hovermode: "closest",
    x: { ...ticks(counts[0].length, shown.names), title: { text: shown.columns }, showspikes: false },
    y: { ...ticks(counts.length, shown.names), title: { text: shown.rows }, autorange: "reversed" },
  });
  return Plotly.react(plot, [cells(shown, found), ...labels(counts, found, room)], look, CONFIG);
}

/**
 * @param {number} count of rows or columns
 * @param {string[]} [names] of them, which stand at the axis if they are few and short
 */
const ticks = (count, names = []) => ({
  fixedrange: true,
  showgrid: false,
  tickformat: "d",
  ...(count <= FEW ? { tick0: 0, dtick: 1 } : { nticks: FEW }),
  ...(count <= NAMED && names.length && names.every((name) => name.length <= SHORT)
    ? { tickmode: "array", tickvals: names.map((_, at) => at), ticktext: names }
    : {}),
});

/**
 * @param {Figure} shown
 * @param {number[][]} found the cells' shares
 */
function cells(shown, found) {
  const colours = Array.from({ length: SHADES }, (_, step) => color(`heat-${step}`));
  const isCoarse = found.length > FEW;
  return /** @type {PlotlyTrace} */ (
    /** @type {unknown} */ ({
      type: "heatmap",
      z: found.map((row) => row.map((share) => (shade(share) + 0.5) / SHADES)),
      zmin: 0,
      zmax: 1,
      colorscale: steps(colours),
      showscale: false,
      xgap: isCoarse ? NO_GAP : 2,
      ygap: isCoarse ? NO_GAP : 2,
      text: found.map((row, i) => row.map((_, j) => said(shown, i, j))),
      hovertemplate: "%{text}<extra></extra>",
    })
  );
}

/**
 * The numbers in the cells, each in the ink that can be read on its shade. None where they do not fit.
 * @param {number[][]} counts
 * @param {number[][]} found
 * @param {{ width: number, height: number }} room
 * @returns {PlotlyTrace[]}
 */
function labels(counts, found, room) {
  const written = texts(counts, room);
  if (!written) return [];
  const flat = written.flatMap((row, i) => row.map((text, j) => ({ text, x: j, y: i, share: found[i][j] })));
  return [
    {
      type: "scatter",
      mode: "text",
      x: flat.map(({ x }) => x),
      y: flat.map(({ y }) => y),
      text: flat.map(({ text }) => text),
      textfont: { size: 11, color: flat.map(({ share }) => color(`heat-ink-${ink(shade(share))}`)) },
      hoverinfo: "skip",
      cliponaxis: false,
    },
  ];
}

/** @param {number} step */
const ink = (step) => (step < 4 ? "low" : step === 4 ? "mid" : "high");

/**
 * @param {HTMLElement} plot
 * @param {Figure} shown
 */
function drawBars(plot, shown) {
  const counts = /** @type {number[]} */ (shown.counts);
  const bars = {
    type: "bar",
    x: counts.map((_, bin) => shown.x?.[bin] ?? bin),
    y: counts,
    marker: { color: color("heat-5") },
    text: counts.map((_, bin) => named(shown, bin)),
    textposition: "none",
    hovertemplate: "%{text}: %{y:,d}<extra></extra>",
  };
  const look = layout({
    margin: { l: 52, r: 8, t: 6, b: shown.x ? MATRIX_MARGIN.b : 26 },
    bargap: counts.length > 40 ? 0 : 0.15,
    hovermode: "closest",
    x: shown.x
      ? { fixedrange: true, showgrid: false, showspikes: false, title: { text: shown.columns } }
      : { ...ticks(counts.length), showspikes: false },
    y: { fixedrange: true, rangemode: "tozero", ...(Math.max(...counts) <= FEW ? { dtick: 1 } : { tickformat: "~s" }) },
  });
  return Plotly.react(plot, [bars], look, CONFIG);
}

function tabulate() {
  const shown = figure();
  if (!shown) return;
  const { heads, rows } = tableOf(shown);
  showTable(shown.title, heads, rows);
}

/** @param {Shown} shown */
function tableOf(shown) {
  if (shown.kind === "lines") return tableOfLines(shown);
  return shown.kind === "dots" ? tableOfDots(shown) : asTable(shown);
}
