// Live curves: two traces a client (as reported, smoothed), for many clients a band and those that one chose. Everything
// that one set (zoom, isolation, axes) is kept here and survives new points.
/* global Plotly */
import { clientName, el, measured, number } from "./dom.js";
import { Line, band, robustRange, thinned } from "./lines.js";
import { CONFIG, alpha, color, layout } from "./plot.js";

export const MANY = 20; // clients with a colour of their own; more are a band
const COLOURS = 20;
const dash = (ordinal) => (ordinal > 10 && ordinal <= 20 ? "6px,3px" : ordinal > 20 ? "2px,2px" : "solid");
const AXES = { step: { text: "step", format: "~s" }, time: { text: "minutes since the start", format: "~g" }, round: { text: "round", format: "d" }, epoch: { text: "epoch", format: "~g" } };
const isShare = (name) => name.endsWith("accuracy");

export class Curves {
  constructor(node, points, { readout, legend, epochs }) {
    Object.assign(this, { node, points, readout, legend, epochs, metric: "", x: "round", y: "linear", weight: 0.6, only: new Set(), zoom: null, all: false, shown: [], lines: [], detail: null, cost: 0, next: 0, drawn: 0, whole: 0 });
    node.addEventListener("pointerdown", () => { this.held = true; });
    addEventListener("pointerup", () => { this.held = false; if (this.due) this.draw(); });
  }

  get source() { return this.detail && this.zoom && this.detail.covers(this) ? this.detail.points : this.points; }
  get sparse() { return this.points.isSparse(this.metric); }
  get many() { return this.shown.length > MANY; }
  get key() { return `${this.metric}/${this.x}/${this.weight}/${this.source === this.points ? "" : "detail"}`; }

  /** Lay out what is new along the axis; all of it where older points moved. */
  layOut(added) {
    const shown = this.source.having(this.metric), same = shown.length === this.shown.length && shown.every((client, i) => client === this.shown[i]);
    if (added && same && this.key === this.laid) {
      for (const { client, seat, moved } of added) {
        const i = shown.findIndex(({ id }) => id === client);
        if (i >= 0 && ((moved && this.x !== "time") || !this.lines[i].take(shown[i].rounds.get(seat.round) ?? seat))) this.lines[i].build();
      }
      return;
    }
    const options = { metric: this.metric, axis: this.x, weight: this.weight, epochs: this.epochs, start: this.points.start, joined: this.sparse };
    this.shown = shown;
    this.lines = shown.map((client) => new Line(client, options));
    this.laid = this.key;
  }

  traces(range) {
    const { sparse, many } = this, width = Math.max(300, this.node.clientWidth - 56);
    this.drawn = 0;
    this.whole = 0;
    const cut = (line, column, parts) => {
      const [x, y, all] = thinned(line.x, column, range, parts);
      if (column === line.s) { this.drawn += x.length; this.whole += all; }
      return { x, y };
    };
    const fine = Math.round(width / (this.shown.length > 8 && !this.only.size ? 4 : 2)), smoothParts = Math.round(width / 2);
    const pair = (client, line) => {
      const common = { type: "scatter", name: client.name }, raw = sparse ? { x: [], y: [] } : cut(line, line.y, this.on(client) ? fine : 1);
      return [
        { ...common, ...raw, mode: "lines", hoverinfo: "skip", line: { width: 1, color: this.shade(client, true), dash: dash(client.ordinal), simplify: false } },
        { ...common, ...cut(line, line.s, smoothParts), mode: sparse ? "lines+markers" : "lines", hoverinfo: "none", marker: { size: 5, color: this.shade(client, false) }, line: { width: this.width(client), color: this.shade(client, false), dash: dash(client.ordinal), shape: "linear" } },
      ];
    };
    if (!many) return this.shown.flatMap((client, i) => pair(client, this.lines[i]));
    const chosen = this.shown.flatMap((client, i) => (this.only.has(client.name) ? pair(client, this.lines[i]) : []));
    return [...this.crowd(range, cut), ...chosen];
  }

  /** Many lines as one grey trace, a band from the 10 to the 90 % quantile, and the median. */
  crowd(range, cut) {
    const x = [], y = [], grey = color("client-rest"), ink = color("accent"), { x: at, low, mid, high } = band(this.lines, range);
    const parts = Math.max(20, Math.min(200, Math.round(24_000 / this.lines.length)));
    for (const line of this.lines) {
      const one = cut(line, line.s, parts);
      for (let i = 0; i < one.x.length; i += 1) { x.push(one.x[i]); y.push(one.y[i]); }
      x.push(null);
      y.push(null);
    }
    const plain = { type: "scatter", mode: "lines", hoverinfo: "skip" };
    return [
      { ...plain, name: "every client", x, y, line: { width: 1, color: alpha(grey, this.only.size ? 0.12 : 0.22) } },
      { ...plain, name: "10 % quantile", x: at, y: low, line: { width: 0, color: ink } },
      { ...plain, name: "90 % quantile", x: at, y: high, line: { width: 0, color: ink }, fill: "tonexty", fillcolor: alpha(ink, 0.16) },
      { ...plain, name: "median", x: at, y: mid, hoverinfo: "none", line: { width: 2, color: ink } },
    ];
  }

  on(client) { return !this.only.size || this.only.has(client.name); }
  shade(client, raw) {
    const n = client.ordinal <= COLOURS || this.only.has(client.name) ? ((client.ordinal - 1) % COLOURS) + 1 : 0;
    const c = color(n ? `client-${n}` : "client-rest"), on = this.on(client);
    return raw ? alpha(c, on ? 0.26 : 0) : alpha(c, on ? 1 : 0.16);
  }
  width(client) { return this.only.has(client.name) ? 2.25 : 1.75; }

  layout(spiky) {
    const { rounds } = this.points, step = Math.ceil(rounds / 20);
    const numbers = [...Array(Math.ceil(rounds / step))].map((_, r) => r * step + 1);
    const byRound = this.x === "round" ? {
      tickmode: "array", tickvals: numbers.map((n) => n - 0.5), ticktext: numbers.map(String), showgrid: false,
      minor: { tickmode: "array", tickvals: [...numbers.map((n) => n - 1), rounds], showgrid: true, gridcolor: color("grid"), gridwidth: 1 },
    } : {};
    const { text, format } = AXES[this.x], set = (range) => (range ? { range: [...range], autorange: false } : { autorange: true });
    return layout({
      margin: { l: 42, r: 14, t: 6, b: 38 },
      x: { title: { text }, tickformat: format, ...byRound, ...set(this.zoom?.slice(0, 2)) },
      y: { type: this.y, tickformat: "~g", ...(this.y === "log" ? { dtick: "D2" } : {}), ...set(this.zoom?.slice(2) ?? spiky) },
      uirevision: (this.turn = (this.turn ?? 0) + 1), // what one zoomed to is kept here, not by Plotly
    });
  }

  /** Draw soon: at once when idle, and the seldomer the longer a drawing takes, so that the page stays fluid. */
  append(added) {
    this.pending = [...(this.pending ?? []), ...added];
    if (!this.timer) this.wait();
  }
  wait() {
    this.timer = setTimeout(() => {
      if (performance.now() < this.next) this.wait(); // it turned out to take longer
      else requestAnimationFrame(() => { this.timer = 0; this.draw(this.pending); });
    }, Math.max(0, this.next - performance.now()));
  }

  /** Draw everything; one after the other, for Plotly's own drawing takes its time. */
  draw(added = null) {
    if (this.held && added) { this.due = true; return this.drawing; } // a box is being drawn to zoom into
    this.due = false;
    this.drawing = (this.drawing ?? Promise.resolve()).then(() => this.paint(added));
    return this.drawing;
  }

  async paint(added) {
    const began = performance.now(), more = added ? this.pending : null;
    this.pending = [];
    this.layOut(more);
    const range = this.zoom?.slice(0, 2) ?? null, lines = this.only.size ? this.lines.filter((_, i) => this.on(this.shown[i])) : this.lines;
    const wide = this.all || this.zoom || this.y === "log" || isShare(this.metric) || this.sparse;
    this.spiky = wide ? null : robustRange(lines, range);
    await Plotly.react(this.node, this.traces(range), this.layout(this.spiky), CONFIG);
    this.list();
    this.write();
    this.pace(began);
    requestAnimationFrame(() => setTimeout(() => this.pace(began))); // with what the browser took to show it
    this.onDrawn?.();
    if (!this.wired) this.wire();
  }

  pace(began) {
    this.cost = performance.now() - began;
    this.next = performance.now() + Math.max(100, (this.cost < 50 ? 12 : 20) * this.cost); // a longer one is felt
  }

  wire() {
    this.wired = true;
    this.node.on("plotly_hover", (event) => this.hover(event));
    this.node.on("plotly_unhover", () => { this.readout.hidden = true; this.write(); });
    this.node.on("plotly_doubleclick", () => this.reset());
    this.node.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((key) => /^[xy]axis\.range/.test(key))) return; // a new size, say
      const { xaxis, yaxis } = this.node._fullLayout;
      this.zoomTo([...xaxis.range, ...yaxis.range]);
    });
  }

  zoomTo(zoom) {
    this.zoom = zoom;
    this.onZoom?.();
    return this.draw();
  }

  /** Back from the zoom; without one, between what most points need and every last spike. */
  reset() {
    if (!this.zoom) this.all = !this.all && Boolean(this.spiky);
    return this.zoomTo(null);
  }

  // ---- isolating

  isolate(name, add) {
    if (add) { if (!this.only.delete(name)) this.only.add(name); }
    else this.only = this.only.size === 1 && this.only.has(name) ? new Set() : new Set([name]);
    return this.draw();
  }
  showAll() { this.only.clear(); return this.draw(); }
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

  last(i) { return this.lines[i]?.last; }
  write(values) {
    this.shown.forEach((client, i) => {
      const text = measured(values ? values[i] : this.last(i)), node = this.legend.children[i]?.lastElementChild;
      if (node && node.textContent !== text) node.textContent = text;
    });
  }

  hover({ xvals, points, event }) {
    const x = Number(xvals?.[0] ?? points[0].x), { yaxis } = this.node._fullLayout, values = this.lines.map((line) => line.near(x));
    this.write(values);
    const rows = values.map((y, i) => ({ y, i, at: yaxis.l2p(yaxis.d2l(y)) })).filter(({ y, i }) => Number.isFinite(y) && this.on(this.shown[i]));
    if (!rows.length) { this.readout.hidden = true; return; }
    const box = this.node.getBoundingClientRect(), my = event.clientY - box.top - 6, far = ({ at }) => Math.abs(at - my);
    rows.sort((a, b) => far(a) - far(b));
    const near = rows[0], told = rows.slice(0, 8).sort((a, b) => b.y - a.y);
    this.readout.replaceChildren(el("div", { class: "readout__x" }, this.where(x)), ...told.map((row) =>
      el("div", { class: `readout__row${row === near ? " is-near" : ""}` }, clientName(this.shown[row.i]), el("span", {}, measured(row.y)))));
    this.readout.hidden = false;
    const left = event.clientX - box.left, right = left > box.width - 250;
    this.readout.style.transform = `translate(${Math.round(right ? left - this.readout.offsetWidth - 16 : left + 16)}px, ${Math.round(Math.min(Math.max(4, my - 40), box.height - this.readout.offsetHeight))}px)`;
  }
  where(x) {
    if (this.x === "round") return x % 1 === 0 && x > 0 ? `end of round ${x}` : `round ${Math.floor(x) + 1}, ${Math.round((x % 1) * 100)} % through`;
    if (this.x === "epoch") return `epoch ${Number(x.toPrecision(4))}`;
    return this.x === "step" ? `step ${number(x)}` : `${Number(x.toPrecision(4))} min after the start`;
  }
}
