// Pictures that follow from counts, as the server describes them, and as tables. No page here.

/**
 * Lines, such as a ROC.
 * @typedef {object} Lines
 * @property {"lines"} kind
 * @property {string} title
 * @property {string} columns what x is
 * @property {string} rows what y is
 * @property {boolean} diagonal
 * @property {boolean} bounded whether they are within the unit square
 * @property {{ name: string, colour: string, x: number[], y: number[], sizes: number[] }[]} series
 */

/**
 * Numbers from 0 to 1 of each class.
 * @typedef {object} Dots
 * @property {"dots"} kind
 * @property {string} title
 * @property {string[]} names of the classes
 * @property {number[]} [examples] of each class; none where they differ from series to series
 * @property {{ name: string, colour: string, x: (number | null)[] }[]} series
 */

/**
 * @param {number} value
 * @param {boolean} bounded whether it is from 0 to 1
 */
const said = (value, bounded) => (bounded ? value.toFixed(3) : String(Number(value.toPrecision(4))));

/**
 * The points of all lines as a table.
 * @param {Lines} shown
 * @returns {{ heads: string[], rows: string[][] }}
 */
export function tableOfLines({ columns, rows, bounded, series }) {
  const found = series.flatMap(({ name, x, y }) =>
    x.map((value, at) => [name, said(value, bounded), said(y[at], bounded)]),
  );
  return { heads: ["Line", columns, rows], rows: found };
}

/**
 * @param {Dots} shown
 * @returns {{ heads: string[], rows: string[][] }}
 */
export function tableOfDots({ names, examples, series }) {
  const rows = names.map((name, at) => [
    name,
    ...series.map(({ x }) => x[at]?.toFixed(3) ?? "–"),
    ...(examples ? [`${examples[at]}`] : []),
  ]);
  return { heads: ["Class", ...series.map(({ name }) => name), ...(examples ? ["Examples"] : [])], rows };
}
