// What a table of counts looks like: shades, texts in its cells, its rows in words. No page here.
import { number } from "./wording.js";

/**
 * Counts as the server describes them.
 * @typedef {object} Figure
 * @property {"matrix" | "bars"} kind
 * @property {string} title
 * @property {number[][] | number[]} counts
 * @property {string} rows what a row stands for
 * @property {string} columns
 * @property {boolean} by_row whether a cell is shaded by its share of the row, else by its share of the largest
 * @property {string[]} [names] of rows and columns
 * @property {number[]} [x] the middle of each bar
 */

/**
 * What a row or column, or a bar, is called.
 * @param {Figure} figure
 * @param {number} at
 */
export const named = ({ names, x }, at) => names?.[at] ?? String(x?.[at] ?? at);

export const SHADES = 8; // --heat-0 to --heat-7
const CHARACTER = 6.5; // px that a digit takes in a cell
const MARGIN = 4; // px that a cell keeps free beside its text
const LINE = 14; // px that a text is high

/**
 * Each cell as a share: 0 to 1, and 0 where there is nothing to share.
 * @param {number[][]} counts
 * @param {boolean} byRow
 */
export function shares(counts, byRow) {
  const top = Math.max(0, ...counts.map((row) => Math.max(...row)));
  return counts.map((row) => {
    const whole = byRow ? row.reduce((sum, count) => sum + count, 0) : top;
    return row.map((count) => (whole ? count / whole : 0));
  });
}

/**
 * The step of the scale: 0 for nothing alone.
 * @param {number} share
 */
export const shade = (share) => Math.min(SHADES - 1, Math.ceil(share * (SHADES - 1)));

/**
 * The scale as Plotly has it: each shade is a step of its own, so that cells look as tables with shades do.
 * @param {string[]} colours of the shades
 * @returns {[at: number, colour: string][]}
 */
export function steps(colours) {
  const ends = colours.map((_, step) => (step + 1) / colours.length);
  return colours.flatMap((colour, step) => [
    [step ? ends[step - 1] : 0, colour],
    [ends[step], colour],
  ]);
}

/**
 * The text of each cell; null where they do not fit.
 * @param {number[][]} counts
 * @param {{ width: number, height: number }} room px of the whole table
 */
export function texts(counts, { width, height }) {
  const found = counts.map((row) => row.map(short));
  const longest = Math.max(0, ...found.flat().map((text) => text.length));
  const fits = width / (counts[0]?.length || 1) >= longest * CHARACTER + MARGIN && height / counts.length >= LINE;
  return fits ? found : null;
}

const POWERS = [
  { least: 1e9, unit: "G" },
  { least: 1e6, unit: "M" },
  { least: 1e4, unit: "k", per: 1e3 },
];

/**
 * A count in at most five characters: 12k.
 * @param {number} count
 */
export function short(count) {
  const power = POWERS.find(({ least }) => count >= least);
  return power ? `${Math.round(count / (power.per ?? power.least))}${power.unit}` : String(count);
}

/**
 * One cell in words.
 * @param {Figure} figure
 * @param {number} row
 * @param {number} column
 */
export function said(figure, row, column) {
  const { counts, rows, columns, by_row } = figure;
  const line = /** @type {number[][]} */ (counts)[row];
  const second = `${columns.toLowerCase()} ${named(figure, column)}`;
  const where = `${rows} ${named(figure, row)}, ${second}: ${number(line[column])}`;
  const whole = line.reduce((sum, count) => sum + count, 0);
  return by_row && whole ? `${where} of ${number(whole)}` : where;
}

/**
 * The same as a table: its heads, and its rows with their heads.
 * @param {Figure} figure
 * @returns {{ heads: string[], rows: string[][] }}
 */
export function asTable(figure) {
  const { kind, counts, rows, columns } = figure;
  if (kind === "bars") {
    const bins = /** @type {number[]} */ (counts).map((count, bin) => [named(figure, bin), number(count)]);
    return { heads: [figure.x ? columns : "", "Count"], rows: bins };
  }
  const lines = /** @type {number[][]} */ (counts);
  const heads = [`${rows} \\ ${columns}`, ...(lines[0] ?? []).map((_, column) => named(figure, column))];
  return { heads, rows: lines.map((line, row) => [named(figure, row), ...line.map(number)]) };
}
