// A client's points as a line: laid along an axis, smoothed, thinned to the pixels that there are. No drawing here.
import { Column } from "./points.js";

/**
 * One client's curve of one metric: columns x, y (as reported) and s (smoothed); NaN is a gap. On the time axis a line
 * breaks between rounds, on the others where a round was missed.
 */
export class Line {
  constructor(client, { metric, axis, weight, epochs, start, joined }) {
    Object.assign(this, { client, metric, axis, weight: joined ? 0 : weight, epochs, start, joined });
    this.build();
  }

  build() {
    Object.assign(this, { x: new Column(), y: new Column(), s: new Column(), taken: new Map(), mean: 0, count: 0, offset: 0, before: 0 });
    for (const number of [...this.client.rounds.keys()].sort((a, b) => a - b)) this.take(this.client.rounds.get(number));
  }

  /** Take in what a seat has more; false if the line must be built anew for it. */
  take(seat) {
    const series = seat.series.get(this.metric), done = this.taken.get(seat.round) ?? 0;
    if (seat.round < this.latest) return false;
    if (!this.taken.has(seat.round)) { // the rounds before it are over
      this.offset = 0;
      for (const [number, { total }] of this.client.rounds) if (number < seat.round) this.offset += total;
      this.latest = seat.round;
    }
    if (!series) return true;
    if (!done) {
      const missed = this.axis === "time" || seat.round > this.before + 1;
      if (!this.joined && this.before && missed && this.x.length) { this.x.push(this.x.data[this.x.length - 1]); this.y.push(NaN); this.s.push(NaN); }
      this.before = seat.round;
    }
    const values = series.values.data, known = series.smooth?.data;
    for (let i = done; i < series.steps.length; i += 1) {
      this.x.push(this.at(seat, series, i));
      this.y.push(values[i]);
      this.s.push(i < series.loaded && known && !this.joined ? known[i] : this.smooth(values[i]));
      if (i === series.loaded - 1 && known) this.goOn(series.whole, known[i]);
    }
    this.taken.set(seat.round, series.steps.length);
    return true;
  }

  at(seat, series, i) {
    if (this.axis === "time") return (series.times.data[i] - this.start) / 60;
    if (this.axis === "step") return this.offset + series.steps.data[i];
    const place = seat.round - 1 + Math.min(1, series.steps.data[i] / Math.max(1, seat.total));
    return this.axis === "epoch" ? place * this.epochs : place;
  }

  /** TensorBoard's smoothing: an exponential mean whose start is not pulled to zero. */
  smooth(value) {
    if (!Number.isFinite(value)) return NaN; // a gap stays a gap
    this.mean = this.mean * this.weight + (1 - this.weight) * value;
    this.count += 1;
    return this.weight ? this.mean / (1 - this.weight ** this.count) : value;
  }

  /** Go on where the server's smoothing ended. */
  goOn(count, value) {
    this.count += count;
    if (Number.isFinite(value)) this.mean = value * (1 - this.weight ** this.count);
  }

  /** The index of the last point at or before x, -1 before the first. */
  upTo(x) {
    const { data, length } = this.x;
    let low = 0, high = length;
    while (low < high) { const mid = (low + high) >> 1; if (data[mid] <= x) low = mid + 1; else high = mid; }
    return low - 1;
  }

  /** The smoothed value nearest to x. */
  near(x) {
    const i = this.upTo(x), { data, length } = this.x;
    if (!length || x < data[0] || (i === length - 1 && x > data[i] + 1e-9 + 0.02 * Math.abs(data[i] - data[0]))) return NaN;
    return this.s.data[i + 1 < length && data[i + 1] - x < x - data[i] ? i + 1 : i];
  }

  get last() {
    for (let i = this.s.length - 1; i >= 0; i -= 1) if (Number.isFinite(this.s.data[i])) return this.s.data[i];
    return NaN;
  }
}

/** The lowest and the highest of each of `parts` stretches, and where the line breaks: [xs, ys, how many there were]. */
export function thinned(x, y, range, parts) {
  const [from, to] = within(x, range), all = to - from;
  if (all <= 2 * parts) return [x.data.slice(from, to), y.data.slice(from, to), all];
  const xs = new Column(), ys = new Column(), stretch = Math.ceil(all / parts), keep = (i) => { xs.push(x.data[i]); ys.push(y.data[i]); };
  for (let begin = from; begin < to; begin += stretch) {
    let low = -1, high = -1, gap = -1;
    const end = Math.min(to, begin + stretch);
    for (let i = begin; i < end; i += 1) {
      const v = y.data[i];
      if (v !== v) { gap = i; continue; }
      if (low < 0 || v < y.data[low]) low = i;
      if (high < 0 || v > y.data[high]) high = i;
    }
    const chosen = [low, high, gap, end === to ? end - 1 : -1].filter((i) => i >= 0).sort((a, b) => a - b);
    chosen.forEach((i, k) => { if (i !== chosen[k - 1]) keep(i); });
  }
  return [xs.all, ys.all, all];
}

/** From and to of the part that is in sight, with a point more at both ends. */
function within({ data, length }, range) {
  if (!range) return [0, length];
  let from = 0, to = length;
  while (from < length && data[from] < range[0]) from += 1;
  while (to > from && data[to - 1] > range[1]) to -= 1;
  return [Math.max(0, from - 1), Math.min(length, to + 1)];
}

const CELLS = 160; // of the band along x
/** The 10, 50 and 90 % quantiles of many lines along x: {x, low, mid, high}. */
export function band(lines, range) {
  let [from, to] = range ?? [Infinity, -Infinity];
  if (!range) for (const { x } of lines) if (x.length) { from = Math.min(from, x.data[0]); to = Math.max(to, x.data[x.length - 1]); }
  const out = { x: [], low: [], mid: [], high: [] };
  if (!(to > from)) return out;
  for (let k = 0; k <= CELLS; k += 1) {
    const at = from + (k / CELLS) * (to - from), values = lines.map((line) => line.near(at)).filter(Number.isFinite).sort((a, b) => a - b);
    if (values.length < 2) continue;
    out.x.push(at);
    for (const [name, q] of [["low", 0.1], ["mid", 0.5], ["high", 0.9]]) out[name].push(quantile(values, q));
  }
  return out;
}

/** Of sorted values, between two of them where need be. */
export function quantile(sorted, q) {
  const at = q * (sorted.length - 1), low = Math.floor(at), high = Math.ceil(at);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

const PARTS = 24, SAMPLE = 300;
/**
 * The range of values that most points of every part of the axis lie in, or null where all of them do nearly: a few
 * spikes shall not flatten everything else.
 */
export function robustRange(lines, range) {
  const cells = Array.from({ length: PARTS }, () => []);
  let [from, to] = range ?? [Infinity, -Infinity], least = Infinity, most = -Infinity;
  if (!range) for (const { x } of lines) if (x.length) { from = Math.min(from, x.data[0]); to = Math.max(to, x.data[x.length - 1]); }
  if (!(to > from)) return null;
  for (const { x, y } of lines) {
    const [begin, end] = within(x, range), stride = Math.max(1, Math.floor((end - begin) / SAMPLE));
    for (let i = begin; i < end; i += 1) {
      const v = y.data[i];
      if (!Number.isFinite(v)) continue;
      if (v < least) least = v;
      if (v > most) most = v;
      if ((i - begin) % stride === 0) cells[Math.max(0, Math.min(PARTS - 1, Math.floor((PARTS * (x.data[i] - from)) / (to - from))))].push(v);
    }
  }
  const ends = cells.filter((cell) => cell.length > 4).map((cell) => { cell.sort((a, b) => a - b); return [quantile(cell, 0.05), quantile(cell, 0.95)]; });
  if (!ends.length) return null;
  const low = Math.min(...ends.map(([v]) => v)), high = Math.max(...ends.map(([, v]) => v)), spread = high - low || Math.abs(high) || 1;
  if (most - least <= 1.5 * spread) return null;
  const down = Math.max(least, low - 0.25 * spread), up = Math.min(most, high + 0.25 * spread), unit = 10 ** Math.floor(Math.log10(up - down)) / 5;
  return [Math.floor(down / unit) * unit, Math.ceil(up / unit) * unit]; // round, so that it moves seldom
}
