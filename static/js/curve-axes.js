// The axes of the curves.
import { color, layout } from "./plot.js";

/**
 * What the axes depend on.
 * @typedef {object} Look
 * @property {import("./lines.js").Axis} x
 * @property {string} y
 * @property {number[] | null} zoom [x, x, y, y]
 * @property {{ rounds: number }} points
 * @property {number} turn how many pictures there were
 */

const AXES = {
  step: { text: "step", format: "~s" },
  time: { text: "minutes since the start", format: "~g" },
  round: { text: "round", format: "d" },
  epoch: { text: "epoch", format: "~g" },
};
const MOST = 20; // numbers of rounds

/**
 * @param {Look} look
 * @param {[number, number] | null} usual range of y, where a few spikes shall not set it
 */
export function axes({ x, y, zoom, points, turn }, usual) {
  const { text, format } = AXES[x];
  return layout({
    margin: { l: 42, r: 14, t: 6, b: 38 },
    x: {
      title: { text },
      tickformat: format,
      ...(x === "round" ? roundTicks(points.rounds) : {}),
      ...between(zoom?.slice(0, 2)),
    },
    y: { type: y, tickformat: "~g", ...(y === "log" ? { dtick: "D2" } : {}), ...between(zoom?.slice(2) ?? usual) },
    uirevision: turn, // what one zoomed to is kept in Curves, not by Plotly
  });
}

/** @param {number[] | null | undefined} range */
const between = (range) => (range ? { range: [...range], autorange: false } : { autorange: true });

/**
 * The number of a round in its middle, and a line where it ends.
 * @param {number} rounds
 */
function roundTicks(rounds) {
  const step = Math.ceil(rounds / MOST);
  const numbers = Array.from({ length: Math.ceil(rounds / step) }, (_, i) => i * step + 1);
  const ends = [...numbers.map((n) => n - 1), rounds];
  return {
    tickmode: "array",
    tickvals: numbers.map((n) => n - 0.5),
    ticktext: numbers.map(String),
    showgrid: false,
    minor: { tickmode: "array", tickvals: ends, showgrid: true, gridcolor: color("grid"), gridwidth: 1 },
  };
}
