// Live curves: two traces a client (as reported, smoothed), for many clients a band and those that are isolated. What a
// person chose (zoom, isolation, axes) is kept here and survives new points.
import { breath } from "./breath.js";
import { axes } from "./curve-axes.js";
import { Legend } from "./curve-legend.js";
import { Traces } from "./curve-traces.js";
import { clientName, el } from "./dom.js";
import { Line } from "./lines.js";
import { rest } from "./pace.js";
import { CONFIG, showReadout, zoomed } from "./plot.js";
import { robustRange } from "./quantiles.js";
import { measured, number } from "./wording.js";

/** @typedef {import("./points.js").Added} Added */
/** @typedef {import("./points.js").Client} Client */
/** @typedef {import("./points.js").Points} Points */
/** @typedef {import("./lines.js").Axis} Axis */
/** @typedef {import("./detail.js").Detail} Detail */

/**
 * @typedef {object} Options
 * @property {HTMLElement} readout
 * @property {HTMLElement} legend
 * @property {number} epochs a round
 * @property {(metric: string) => string} measureOf the measure that a metric is of
 */

export const MANY = 20; // clients with a colour of their own; more are a band
const NAMED = 8; // clients in the read-out

export class Curves {
  /**
   * @param {PlotlyNode} node
   * @param {Points} points
   * @param {Options} options
   */
  constructor(node, points, { readout, legend, epochs, measureOf }) {
    this.node = node;
    this.points = points;
    this.readout = readout;
    this.legend = new Legend(legend);
    this.epochs = epochs;
    this.measureOf = measureOf;
    this.metric = "";
    this.x = /** @type {Axis} */ ("round");
    this.y = "linear";
    this.weight = 0.6; // of the smoothing
    /** @type {Set<string>} */
    this.only = new Set(); // names of the clients that are isolated
    /** @type {number[] | null} */
    this.zoom = null; // [x, x, y, y]
    this.all = false; // every last spike sets the range
    /** @type {Detail | null} */
    this.detail = null; // of the part that one zoomed into
    /** @type {Client[]} */
    this.shown = [];
    /** @type {Line[]} */
    this.lines = []; // of those who are shown
    this.laid = ""; // what the lines are laid out for; "" for none
    /** @type {[number, number] | null} */
    this.spiky = null; // the range without the spikes, where there are some
    this.drawn = 0; // points in the picture
    this.whole = 0; // points that it stands for
    this.turn = 0;
    /** @type {Added[]} */
    this.pending = [];
    this.isWired = false;
    this.isTimed = false; // the next drawing is due
    this.next = 0; // ms: when the page may draw again
    this.isHeld = false; // a box is being drawn to zoom into
    this.isDue = false; // a drawing waits for that
    this.drawing = Promise.resolve();
    this.onZoom = () => {};
    this.onDrawn = () => {};
    this.hold();
  }

  hold() {
    this.node.addEventListener("pointerdown", () => {
      this.isHeld = true;
    });
    addEventListener("pointerup", () => {
      this.isHeld = false;
      if (this.isDue) this.draw();
    });
  }

  get source() {
    return this.detail && this.zoom && this.detail.covers(this) ? this.detail.points : this.points;
  }

  get sparse() {
    return this.points.isSparse(this.metric);
  }

  get many() {
    return this.shown.length > MANY;
  }

  get key() {
    const { metric, x, weight, sparse } = this;
    return `${metric}/${x}/${weight}/${sparse ? "joined" : ""}/${this.source === this.points ? "" : "detail"}`;
  }

  // ---- laying out

  /**
   * Lay out what is new along the axis; all of it where older points moved.
   * @param {Added[] | null} added
   */
  layOut(added) {
    const { metric, x: axis, weight, epochs, sparse: joined, key } = this;
    const isSame = added !== null && key === this.laid;
    const known = new Map(isSame ? this.shown.map((client, i) => [client, this.lines[i]]) : []);
    const options = { metric, axis, weight, epochs, start: this.points.start, joined };
    this.shown = this.source.having(metric);
    this.lines = this.shown.map((client) => known.get(client) ?? new Line(client, options));
    this.laid = key;
    if (isSame) for (const one of added) this.extend(one);
  }

  /** @param {Added} added */
  extend({ client, seat, moved }) {
    const i = this.shown.findIndex(({ id }) => id === client);
    if (i < 0) return;
    const hasMoved = moved && this.x !== "time";
    const line = this.lines[i];
    if (hasMoved || !line.take(this.shown[i].rounds.get(seat.round) ?? seat)) this.lines[i] = line.again();
  }

  // ---- drawing

  /**
   * Draw soon: at once when idle, and less often when drawing is slow, so that the page stays fluid.
   * @param {Added[]} added
   */
  append(added) {
    this.pending = [...this.pending, ...added];
    if (!this.isTimed) this.wait();
  }

  wait() {
    this.isTimed = true;
    setTimeout(
      () => {
        if (performance.now() < this.next) {
          this.wait(); // it turned out to take longer
          return;
        }
        requestAnimationFrame(() => {
          this.isTimed = false;
          this.draw(this.pending);
        });
      },
      Math.max(0, this.next - performance.now()),
    );
  }

  /**
   * Draw everything. One drawing comes after the other: Plotly's own takes its time. One that fails stops no later one.
   * @param {Added[] | null} added
   */
  draw(added = null) {
    if (this.isHeld && added) {
      this.isDue = true;
      return this.drawing;
    }
    this.isDue = false;
    this.drawing = this.drawing.catch(() => {}).then(() => this.paint(added));
    return this.drawing;
  }

  /** @param {Added[] | null} added */
  async paint(added) {
    const began = performance.now();
    const more = added ? this.pending : null;
    this.pending = [];
    this.layOut(more);
    const range = this.rangeOfX;
    this.spiky = this.isWide ? null : robustRange(this.isolated, range);
    await breath(began);
    const traces = new Traces(this, range);
    const drawn = traces.all();
    await breath(began);
    this.turn += 1;
    await Plotly.react(this.node, drawn, axes(this, this.spiky), CONFIG);
    await breath(began);
    this.drawn = traces.drawn;
    this.whole = traces.whole;
    this.legend.list(this.shown, this.only);
    this.write();
    this.pace(began);
    requestAnimationFrame(() => setTimeout(() => this.pace(began))); // with what the browser took to show it
    this.onDrawn();
    if (!this.isWired) this.wire();
  }

  /** @returns {[number, number] | null} */
  get rangeOfX() {
    return this.zoom && [this.zoom[0], this.zoom[1]];
  }

  /** Whether every last spike sets the range. */
  get isWide() {
    return this.all || this.zoom !== null || this.y === "log" || this.isShare || this.sparse;
  }

  get isShare() {
    return this.points.shares.has(this.measureOf(this.metric));
  }

  get isolated() {
    return this.only.size ? this.lines.filter((_, i) => this.isOn(this.shown[i])) : this.lines;
  }

  /** @param {Client} client */
  isOn({ name }) {
    return !this.only.size || this.only.has(name);
  }

  /** @param {number} began */
  pace(began) {
    const now = performance.now();
    this.next = now + rest(now - began);
  }

  wire() {
    this.isWired = true;
    this.node.on("plotly_hover", (event) => this.hover(event));
    this.node.on("plotly_unhover", () => {
      this.readout.hidden = true;
      this.write();
    });
    this.node.on("plotly_doubleclick", () => {
      this.reset();
    });
    this.node.on("plotly_relayout", (change) => {
      const zoom = zoomed(change, this.node);
      if (zoom) this.zoomTo(zoom);
    });
  }

  // ---- choosing

  /** @param {number[] | null} zoom */
  zoomTo(zoom) {
    this.zoom = zoom;
    this.onZoom();
    return this.draw();
  }

  /** Back from the zoom; without one, between what most points need and every last spike. */
  reset() {
    if (!this.zoom) this.all = !this.all && Boolean(this.spiky);
    return this.zoomTo(null);
  }

  /**
   * @param {string} name of a client
   * @param {boolean} adds it to those that are isolated, or takes it away
   */
  isolate(name, adds) {
    if (!adds) this.only = this.only.size === 1 && this.only.has(name) ? new Set() : new Set([name]);
    else if (!this.only.delete(name)) this.only.add(name);
    return this.draw();
  }

  showAll() {
    this.only.clear();
    return this.draw();
  }

  // ---- values: in the legend, and beside the pointer

  /** @param {number} i of a client that is shown */
  last(i) {
    return this.lines[i]?.last;
  }

  /** @param {number[]} [values] those under the pointer; without them the last ones */
  write(values) {
    this.legend.write(this.shown.map((_, i) => (values ? values[i] : this.last(i))));
  }

  /** @param {PlotlyHover} event */
  hover({ xvals, points, event }) {
    const x = Number(xvals?.[0] ?? points[0].x);
    const { yaxis } = this.node._fullLayout;
    const values = this.lines.map((line) => line.near(x));
    this.write(values);
    const rows = values
      .map((y, i) => ({ y, client: this.shown[i], at: yaxis.l2p(yaxis.d2l(y)) }))
      .filter(({ y, client }) => Number.isFinite(y) && this.isOn(client));
    if (!rows.length) {
      this.readout.hidden = true;
      return;
    }
    const pointer = event.clientY - this.node.getBoundingClientRect().top - 6;
    rows.sort((a, b) => Math.abs(a.at - pointer) - Math.abs(b.at - pointer));
    const nearest = rows[0];
    const named = rows.slice(0, NAMED).sort((a, b) => b.y - a.y);
    this.readout.replaceChildren(
      el("div", { class: "readout__x" }, this.where(x)),
      ...named.map((row) => readoutRow(row, row === nearest)),
    );
    showReadout(this.readout, this.node, event, (room) => Math.min(Math.max(4, pointer - 40), room));
  }

  /**
   * A place on the axis in words.
   * @param {number} x
   */
  where(x) {
    if (this.x === "round" && x % 1 === 0 && x > 0) return `end of round ${x}`;
    if (this.x === "round") return `round ${Math.floor(x) + 1}, ${Math.round((x % 1) * 100)} % through`;
    if (this.x === "epoch") return `epoch ${Number(x.toPrecision(4))}`;
    return this.x === "step" ? `step ${number(x)}` : `${Number(x.toPrecision(4))} min after the start`;
  }
}

/**
 * @param {{ client: Client, y: number }} row
 * @param {boolean} isNear
 */
function readoutRow({ client, y }, isNear) {
  const name = `readout__row${isNear ? " is-near" : ""}`;
  return el("div", { class: name }, clientName(client), el("span", {}, measured(y)));
}
