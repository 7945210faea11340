// The lines of the curves as Plotly draws them, thinned to the pixels that there are.
import { alpha, color } from "./plot.js";
import { band } from "./quantiles.js";
import { thinned } from "./thinning.js";

/** @typedef {import("./column.js").Column} Column */
/** @typedef {import("./lines.js").Line} Line */
/** @typedef {import("./points.js").Client} Client */

/**
 * What is drawn, and where.
 * @typedef {object} Picture
 * @property {HTMLElement} node
 * @property {Client[]} shown
 * @property {Line[]} lines of those who are shown
 * @property {Set<string>} only the names of those who are isolated
 * @property {boolean} sparse a point a round: they are joined
 * @property {boolean} many they are a crowd
 * @property {(client: Client) => boolean} isOn whether a client is isolated, or none is
 */

const COLOURS = 20;
const FEW = 8; // clients whose reported values are drawn finely
const EDGE = 56; // px beside the picture
const LEAST_WIDTH = 300; // px
const CROWD = 24_000; // stretches for all lines of a crowd together

/** @param {number} ordinal of a client */
function dash(ordinal) {
  if (ordinal > COLOURS) return "2px,2px";
  return ordinal > 10 ? "6px,3px" : "solid";
}

export class Traces {
  /**
   * @param {Picture} picture
   * @param {[number, number] | null} range of x that is in sight; null: all
   */
  constructor(picture, range) {
    const { node, shown, lines, only, sparse, many } = picture;
    this.picture = picture;
    this.range = range;
    this.shown = shown;
    this.lines = lines;
    this.only = only;
    this.sparse = sparse;
    this.many = many;
    const width = Math.max(LEAST_WIDTH, node.clientWidth - EDGE);
    this.fine = Math.round(width / (shown.length > FEW && !only.size ? 4 : 2));
    this.smooth = Math.round(width / 2);
    this.drawn = 0;
    this.whole = 0;
  }

  /** @returns {PlotlyTrace[]} */
  all() {
    if (!this.many) return this.shown.flatMap((client, i) => this.pair(client, this.lines[i]));
    const chosen = this.shown.flatMap((client, i) =>
      this.only.has(client.name) ? this.pair(client, this.lines[i]) : [],
    );
    return [...this.crowd(), ...chosen];
  }

  /**
   * A client's line as reported and smoothed.
   * @param {Client} client
   * @param {Line} line
   * @returns {PlotlyTrace[]}
   */
  pair(client, line) {
    const dashes = dash(client.ordinal);
    const strong = this.shade(client, false);
    const width = this.only.has(client.name) ? 2.25 : 1.75;
    const raw = this.sparse ? { x: [], y: [] } : this.cut(line, line.y, this.picture.isOn(client) ? this.fine : 1);
    const smooth = this.cut(line, line.s, this.smooth);
    return [
      {
        type: "scatter",
        name: client.name,
        ...raw,
        mode: "lines",
        hoverinfo: "skip",
        line: { width: 1, color: this.shade(client, true), dash: dashes, simplify: false },
      },
      {
        type: "scatter",
        name: client.name,
        ...smooth,
        mode: this.sparse ? "lines+markers" : "lines",
        hoverinfo: "none",
        marker: { size: 5, color: strong },
        line: { width, color: strong, dash: dashes, shape: "linear" },
      },
    ];
  }

  /**
   * Many lines as one grey trace, a band from the 10 to the 90 % quantile, and the median.
   * @returns {PlotlyTrace[]}
   */
  crowd() {
    const grey = color("client-rest");
    const ink = color("accent");
    const { x, low, mid, high } = band(this.lines, this.range);
    const plain = { type: "scatter", mode: "lines", hoverinfo: "skip" };
    const edge = { width: 0, color: ink };
    const pale = { width: 1, color: alpha(grey, this.only.size ? 0.12 : 0.22) };
    return [
      { ...plain, name: "every client", ...this.joined(), line: pale },
      { ...plain, name: "10 % quantile", x, y: low, line: edge },
      { ...plain, name: "90 % quantile", x, y: high, line: edge, fill: "tonexty", fillcolor: alpha(ink, 0.16) },
      { ...plain, name: "median", x, y: mid, hoverinfo: "none", line: { width: 2, color: ink } },
    ];
  }

  /** Every line in one, with a gap after each. */
  joined() {
    /** @type {(number | null)[]} */
    const x = [];
    /** @type {(number | null)[]} */
    const y = [];
    const parts = Math.max(20, Math.min(200, Math.round(CROWD / this.lines.length)));
    for (const line of this.lines) {
      const one = this.cut(line, line.s, parts);
      for (let i = 0; i < one.x.length; i += 1) {
        x.push(one.x[i]);
        y.push(one.y[i]);
      }
      x.push(null);
      y.push(null);
    }
    return { x, y };
  }

  /**
   * @param {Line} line
   * @param {Column} column its y or s
   * @param {number} parts
   */
  cut(line, column, parts) {
    const [x, y, whole] = thinned(line.x, column, this.range, parts);
    if (column === line.s) {
      this.drawn += x.length;
      this.whole += whole;
    }
    return { x, y };
  }

  /**
   * @param {Client} client
   * @param {boolean} isRaw as reported
   */
  shade(client, isRaw) {
    const { name, ordinal } = client;
    const hasColour = ordinal <= COLOURS || this.only.has(name);
    const ink = color(hasColour ? `client-${((ordinal - 1) % COLOURS) + 1}` : "client-rest");
    const isOn = this.picture.isOn(client);
    if (isRaw) return alpha(ink, isOn ? 0.26 : 0);
    return alpha(ink, isOn ? 1 : 0.16);
  }
}
