// Live curves: two traces a client (raw, smoothed). Points are only ever appended; zoom and isolation survive them.
/* global Plotly */
import { clientName, el, number } from "./dom.js";
import { CONFIG, alpha, color, layout } from "./plot.js";

const MOST = 4000; // points that a trace draws; with more, every lowest and highest of a stretch
const dash = (ordinal) => (ordinal > 10 && ordinal <= 20 ? "6px,3px" : "solid");
const AXES = { step: { text: "step", format: "~s" }, time: { text: "minutes since the start", format: "~g" }, round: { text: "round", format: "d" } };
export const isShare = (name) => name.endsWith("accuracy");

/** TensorBoard's smoothing: an exponential mean whose start is not pulled to zero. */
class Smoother {
  constructor(weight) { this.weight = weight; this.mean = 0; this.count = 0; }
  push(value) {
    if (value === null || !Number.isFinite(value)) return null; // a gap stays a gap
    this.mean = this.mean * this.weight + (1 - this.weight) * value;
    this.count += 1;
    return this.weight ? this.mean / (1 - this.weight ** this.count) : value;
  }
}

/** Keep the lowest and the highest of each stretch, and where a line breaks. Returns the indices that stay. */
function thinned(y, from, to) {
  const all = to - from, keep = [];
  if (all <= MOST) { for (let i = from; i < to; i += 1) keep.push(i); return keep; }
  const stretch = Math.ceil((2 * all) / MOST);
  for (let begin = from; begin < to; begin += stretch) {
    let low = -1, high = -1;
    const end = Math.min(to, begin + stretch);
    for (let i = begin; i < end; i += 1) {
      if (y[i] === null) continue;
      if (low < 0 || y[i] < y[low]) low = i;
      if (high < 0 || y[i] > y[high]) high = i;
    }
    if (low < 0) keep.push(begin);
    else if (low === high) keep.push(low);
    else keep.push(Math.min(low, high), Math.max(low, high));
  }
  return keep;
}

export class Curves {
  constructor(node, points, { readout, legend }) {
    Object.assign(this, { node, points, readout, legend, metric: "", x: "round", y: "linear", weight: 0.6, only: new Set(), shown: [], smoothers: [], drawn: 0, whole: 0 });
  }

  get sparse() { return this.points.isSparse(this.metric); }

  /** Clients that have a point of the metric, in the order in which they joined. */
  clients() {
    const some = [...this.points.clients.values()].filter(({ rounds }) => [...rounds.values()].some(({ series }) => series.has(this.metric)));
    return some.sort((a, b) => a.ordinal - b.ordinal);
  }

  traces(range) {
    const { sparse } = this;
    this.shown = this.clients();
    this.smoothers = this.shown.map(() => new Smoother(sparse ? 0 : this.weight));
    this.drawn = 0;
    this.whole = 0;
    return this.shown.flatMap((client, i) => {
      const { x, y } = this.points.curve(client.id, this.metric, this.x, sparse), smooth = y.map((v) => this.smoothers[i].push(v));
      const [from, to] = within(x, range), kept = thinned(y, from, to), pick = (list) => kept.map((k) => list[k]);
      this.drawn += kept.length;
      this.whole += to - from;
      const xs = pick(x), common = { type: "scatter", name: client.name };
      return [
        { ...common, mode: "lines", x: sparse ? [] : xs, y: sparse ? [] : pick(y), hoverinfo: "skip", line: { width: 1, color: this.shade(client, true), dash: dash(client.ordinal) } },
        { ...common, mode: sparse ? "lines+markers" : "lines", x: [...xs], y: pick(smooth), hoverinfo: "none", marker: { size: 5, color: this.shade(client, false) }, line: { width: this.width(client), color: this.shade(client, false), dash: dash(client.ordinal), shape: "linear" } },
      ];
    });
  }

  on(client) { return !this.only.size || this.only.has(client.name); }
  shade(client, raw) {
    const c = color(client.ordinal <= 20 ? `client-${client.ordinal}` : "client-rest"), on = this.on(client);
    return raw ? alpha(c, on ? 0.26 : 0) : alpha(c, on ? 1 : 0.16);
  }
  width(client) { return this.only.has(client.name) ? 2.25 : 1.75; }

  layout() {
    const { rounds } = this.points, step = Math.ceil(rounds / 20);
    const numbers = [...Array(Math.ceil(rounds / step))].map((_, r) => r * step + 1);
    const byRound = this.x === "round" ? {
      tickmode: "array", tickvals: numbers.map((n) => n - 0.5), ticktext: numbers.map(String), showgrid: false,
      minor: { tickmode: "array", tickvals: [...numbers.map((n) => n - 1), rounds], showgrid: true, gridcolor: color("grid"), gridwidth: 1 },
    } : {};
    const { text, format } = AXES[this.x];
    return layout({
      margin: { l: 42, r: 14, t: 6, b: 38 },
      x: { title: { text }, tickformat: format, ...byRound, ...this.range(0) },
      y: { type: this.y, tickformat: isShare(this.metric) ? ".0%" : "~g", ...(this.y === "log" ? { dtick: "D2" } : {}), ...this.range(2) },
      uirevision: `${this.metric}/${this.x}/${this.y}`,
    });
  }

  /** The zoom goes along with every drawing: what the address asked for, else what one zoomed to in this view. */
  range(from) {
    const zoom = this.start ?? (this.view === this.key ? this.zoom : null);
    return zoom ? { range: zoom.slice(from, from + 2), autorange: false } : { autorange: true };
  }

  /** The zoom as [x0, x1, y0, y1], or null. */
  get zoom() {
    const { xaxis, yaxis } = this.node._fullLayout ?? {};
    return xaxis && (xaxis.autorange === false || yaxis.autorange === false) ? [...xaxis.range, ...yaxis.range] : null;
  }

  /** Draw everything anew; one after the other, for Plotly's own drawing takes its time. */
  draw() {
    this.drawing = (this.drawing ?? Promise.resolve()).then(() => this.paint());
    return this.drawing;
  }

  async paint() {
    const look = this.layout(), { range, autorange } = look.xaxis;
    this.view = this.key;
    this.start = null;
    await Plotly.react(this.node, this.traces(autorange ? null : range), look, CONFIG);
    this.list();
    this.write();
    if (this.wired) return;
    this.wired = true;
    this.node.on("plotly_hover", (event) => this.hover(event));
    this.node.on("plotly_unhover", () => { this.readout.hidden = true; this.write(); });
    this.node.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((key) => /^[xy]axis\./.test(key))) return; // a new size, say
      if (this.thin) this.draw();
      this.onZoom?.();
    });
  }
  get key() { return `${this.metric}/${this.x}/${this.y}`; }
  get thin() { return this.drawn < Object.values(this.points.counts(this.metric)).reduce((a, b) => a + b, 0); }

  /** Draw what was added, by appending where that is enough. `added` are results of Points.add. */
  append(added) {
    const update = { x: [], y: [] }, which = [], known = this.shown.map(({ id }) => id);
    const anew = this.sparse !== this.wasSparse || added.some(({ client, moved, fresh }) => (moved && this.x !== "time") || (fresh.has(this.metric) && !known.includes(client)));
    this.wasSparse = this.sparse;
    if (anew || this.drawn > 2 * MOST * Math.max(1, this.shown.length) || this.joint(added)) return this.draw();
    const { sparse } = this;
    for (const { client, seat, fresh } of added) {
      const indices = fresh.get(this.metric);
      if (!indices) continue;
      const i = known.indexOf(client), series = seat.series.get(this.metric), offset = this.offset(client, seat);
      const xs = indices.map((k) => this.points.x(this.x, seat, series, k, offset)), ys = indices.map((k) => series.values[k]);
      const smooth = ys.map((v) => this.smoothers[i].push(v));
      if (!sparse) { update.x.push(xs); update.y.push(ys); which.push(2 * i); }
      update.x.push([...xs]); update.y.push(smooth); which.push(2 * i + 1);
      this.drawn += xs.length;
      this.whole += xs.length;
    }
    if (!which.length) return undefined;
    const joined = merged(update, which);
    const done = Plotly.extendTraces(this.node, { x: joined.x, y: joined.y }, joined.which);
    this.write();
    return done;
  }

  /** Whether a new round begins or points come out of order: then the whole curve is drawn. */
  joint(added) {
    return added.some(({ client, seat, fresh }) => {
      const indices = fresh.get(this.metric);
      if (!indices) return false;
      const { rounds } = this.points.clients.get(client), { steps } = seat.series.get(this.metric);
      const late = seat.round !== Math.max(...rounds.keys()), first = indices[0] === 0;
      const jumbled = indices.some((k) => k > 0 && steps[k] < steps[k - 1]);
      return late || first || jumbled;
    });
  }

  offset(id, seat) {
    let sum = 0;
    for (const [number, { total }] of this.points.clients.get(id).rounds) if (number < seat.round) sum += total;
    return sum;
  }

  // ---- isolating

  isolate(name, add) {
    if (add) { if (!this.only.delete(name)) this.only.add(name); }
    else this.only = this.only.size === 1 && this.only.has(name) ? new Set() : new Set([name]);
    this.restyle();
  }
  showAll() { this.only.clear(); this.restyle(); }
  restyle() {
    const order = [...Array(2 * this.shown.length).keys()], client = (k) => this.shown[k >> 1];
    if (order.length) {
      Plotly.restyle(this.node, {
        "line.color": order.map((k) => this.shade(client(k), k % 2 === 0)), "marker.color": order.map((k) => this.shade(client(k), false)),
        "line.width": order.map((k) => (k % 2 ? this.width(client(k)) : 1)),
      }, order);
    }
    this.mark();
  }
  mark() {
    this.legend.toggleAttribute("data-isolating", this.only.size > 0);
    for (const button of this.legend.children) button.setAttribute("aria-pressed", String(this.only.has(button.dataset.name)));
  }

  // ---- the legend: also the read-out

  list() {
    const names = this.shown.map(({ name }) => name).join("\n");
    if (names !== this.listed) {
      this.listed = names;
      this.legend.replaceChildren(...this.shown.map((client) => {
        const button = el("button", { type: "button", "aria-pressed": "false", "data-name": client.name });
        button.append(clientName(client), el("span", { class: "legend__note" }), el("span", { class: "legend__value" }, "–"));
        return button;
      }));
      this.onList?.();
    }
    this.mark();
  }

  format(v) {
    if (v === undefined || v === null) return "–";
    if (isShare(this.metric)) return `${(100 * v).toFixed(1)} %`;
    return Math.abs(v) >= 1000 || (v && Math.abs(v) < 0.001) ? v.toExponential(1) : v.toFixed(3);
  }
  last(i) { const ys = this.node.data?.[2 * i + 1]?.y; return ys?.findLast ? ys.findLast((v) => v !== null) : ys?.at(-1); }
  write(values) {
    this.shown.forEach((client, i) => {
      const text = this.format(values ? values[i] : this.last(i)), node = this.legend.children[i]?.querySelector(".legend__value");
      if (node && node.textContent !== text) node.textContent = text;
    });
  }

  hover({ points, event }) {
    const rows = points.filter((p) => p.curveNumber % 2 && p.y !== null).map((p) => ({ i: p.curveNumber >> 1, y: p.y, x: p.x, at: p.yaxis.l2p(p.yaxis.d2l(p.y)) }));
    const values = [];
    for (const row of rows) values[row.i] = row.y;
    this.write(values);
    const visible = rows.filter((row) => this.on(this.shown[row.i]));
    if (!visible.length) { this.readout.hidden = true; return; }
    const box = this.node.getBoundingClientRect(), my = event.clientY - box.top - 6;
    const near = visible.reduce((a, b) => (Math.abs(b.at - my) < Math.abs(a.at - my) ? b : a));
    visible.sort((a, b) => b.y - a.y);
    this.readout.replaceChildren(el("div", { class: "readout__x" }, this.where(near.x)), ...visible.slice(0, 8).map((row) =>
      el("div", { class: `readout__row${row === near ? " is-near" : ""}` }, clientName(this.shown[row.i]), el("span", {}, this.format(row.y)))));
    this.readout.hidden = false;
    const left = event.clientX - box.left, right = left > box.width - 250;
    this.readout.style.transform = `translate(${Math.round(right ? left - this.readout.offsetWidth - 16 : left + 16)}px, ${Math.round(Math.min(Math.max(4, my - 40), box.height - this.readout.offsetHeight))}px)`;
  }
  where(x) {
    if (this.x === "round") return x % 1 === 0 && x > 0 ? `end of round ${x}` : `round ${Math.floor(x) + 1}, ${Math.round((x % 1) * 100)} % through`;
    return this.x === "step" ? `step ${number(x)}` : `${Number(x.toPrecision(4))} min after the start`;
  }
}

/** From and to of the part of a curve that is in sight, with a point more at both ends. */
function within(x, range) {
  if (!range) return [0, x.length];
  let from = x.findIndex((v) => v >= range[0]), to = x.findIndex((v) => v > range[1]);
  if (from < 0) from = x.length;
  if (to < 0) to = x.length;
  return [Math.max(0, from - 1), Math.min(x.length, to + 1)];
}

/** Several additions to one trace become one: Plotly takes each trace once. */
function merged({ x, y }, which) {
  const at = new Map(), out = { x: [], y: [], which: [] };
  which.forEach((trace, k) => {
    if (!at.has(trace)) { at.set(trace, out.which.length); out.which.push(trace); out.x.push([]); out.y.push([]); }
    out.x[at.get(trace)].push(...x[k]);
    out.y[at.get(trace)].push(...y[k]);
  });
  return out;
}
