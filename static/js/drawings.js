// Pictures that follow from counts: lines, such as a ROC, and the numbers of each class as dots.
import { CONFIG, color, layout } from "./plot.js";

/** @typedef {import("./drawing-tables.js").Lines} Lines */
/** @typedef {import("./drawing-tables.js").Dots} Dots */

const MARGIN = { l: 48, r: 8, t: 6, b: 44 };
const DASHES = ["solid", "solid", "solid", "solid", "dash", "dash", "dot", "dot"]; // as swatches have them
const LARGEST = 18; // px of a point that stands for most examples
const ROW = 22; // px of a class
const DOTS_MARGIN = { r: 8, t: 24, b: 6 }; // the axis is above, where it is seen of many classes, too
const CHARACTER = 6.5; // px
const LONGEST = 16; // characters of a name beside its dots
const SHAPES = ["circle", "diamond", "square"];

/**
 * @param {HTMLElement} plot
 * @param {Lines} shown
 */
export function drawLines(plot, shown) {
  plot.style.height = "";
  const { x, y } = shown.bounded ? { x: unit(), y: unit() } : free();
  const look = layout({
    height: plot.clientHeight,
    margin: MARGIN,
    hovermode: "closest",
    x: { ...x, title: { text: shown.columns }, showspikes: false },
    y: { ...y, title: { text: shown.rows } },
  });
  const across = { x: [0, 1], y: [0, 1], mode: "lines", line: { color: color("axis"), width: 1, dash: "dot" } };
  const ground = shown.diagonal ? [{ ...across, hoverinfo: "skip" }] : [];
  return Plotly.react(plot, [...ground, ...shown.series.map((one, at) => trace(shown, one, at))], look, CONFIG);
}

const unit = () => ({ range: [-0.02, 1.02], tick0: 0, dtick: 0.2, fixedrange: true });

/** Axes that go as far as the lines do. */
const free = () => ({
  x: { fixedrange: true, zeroline: true, zerolinecolor: color("axis"), zerolinewidth: 1 },
  y: { fixedrange: true, rangemode: "tozero" },
});

/**
 * @param {Lines} shown
 * @param {Lines["series"][number]} series
 * @param {number} at
 */
function trace(shown, { name, colour, x, y, sizes }, at) {
  const ink = color(colour);
  const how = shown.bounded ? ".3f" : ".4~g";
  return {
    x,
    y,
    mode: sizes.length ? "lines+markers" : "lines",
    line: { color: ink, width: 2, dash: DASHES[at % DASHES.length] },
    marker: { color: ink, size: sizes.map((size) => Math.max(4, LARGEST * size)) },
    text: x.map(() => name),
    cliponaxis: false,
    hovertemplate: `%{text}<br>${shown.columns} %{x:${how}}, ${shown.rows.toLowerCase()} %{y:${how}}<extra></extra>`,
  };
}

/**
 * A row a class; the picture is as high as it has to be.
 * @param {HTMLElement} plot
 * @param {Dots} shown
 */
export function drawDots(plot, shown) {
  const names = shown.names.map(short);
  const left = Math.max(...names.map((name) => name.length)) * CHARACTER + 14;
  const height = names.length * ROW + DOTS_MARGIN.t + DOTS_MARGIN.b;
  plot.style.height = `${height}px`;
  const look = layout({
    height,
    margin: { ...DOTS_MARGIN, l: left },
    hovermode: "closest",
    x: { ...unit(), side: "top", showspikes: false },
    y: {
      fixedrange: true,
      tickmode: "array",
      tickvals: names.map((_, at) => at),
      ticktext: names,
      range: [names.length - 0.5, -0.5],
    },
  });
  return Plotly.react(
    plot,
    shown.series.map((one, at) => dots(shown, one, at)),
    look,
    CONFIG,
  );
}

/** @param {string} name */
const short = (name) => (name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name);

/**
 * @param {Dots} shown
 * @param {Dots["series"][number]} series
 * @param {number} at
 */
function dots(shown, { name, colour, x }, at) {
  return {
    x,
    y: x.map((_, row) => row),
    mode: "markers",
    marker: { color: color(colour), size: 9, symbol: SHAPES[at % SHAPES.length], opacity: 0.9 },
    text: x.map((_, row) => `${shown.names[row]}: ${name}`),
    hovertemplate: "%{text} %{x:.3f}<extra></extra>",
    cliponaxis: false,
  };
}
