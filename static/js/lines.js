// A client's points as a line: laid along an axis, and smoothed. No drawing here.
import { Column, countBelow } from "./column.js";

/** @typedef {import("./points.js").Client} Client */
/** @typedef {import("./points.js").Seat} Seat */
/** @typedef {import("./series.js").Series} Series */
/** @typedef {"step" | "time" | "round" | "epoch"} Axis */

/**
 * @typedef {object} Options
 * @property {string} metric
 * @property {Axis} axis
 * @property {number} weight of the smoothing, from 0 to 1
 * @property {number} epochs a round
 * @property {number} start of the session, in seconds
 * @property {boolean} joined the points are joined as they are, without gaps
 */

/**
 * One client's curve of one metric: columns x, y (as reported) and s (smoothed); NaN is a gap. On the time axis a line
 * breaks between rounds, on the others where a round was missed.
 */
export class Line {
  /**
   * @param {Client} client
   * @param {Options} options
   */
  constructor(client, options) {
    this.client = client;
    this.options = options;
    this.metric = options.metric;
    this.axis = options.axis;
    this.weight = options.joined ? 0 : options.weight;
    this.joined = options.joined;
    this.x = new Column();
    this.y = new Column();
    this.s = new Column();
    /** @type {Map<number, number>} */
    this.taken = new Map(); // round -> how many points
    this.mean = 0;
    this.count = 0; // points in the mean
    this.offset = 0; // steps of the rounds before
    this.before = 0; // the last round with a point
    this.latest = 0; // the last round that was taken
    for (const seat of seatsOf(client)) this.take(seat);
  }

  /** The same line of what the client has now. */
  again() {
    return new Line(this.client, this.options);
  }

  /**
   * Take in what a seat has more. False if the line must be built again for it.
   * @param {Seat} seat
   */
  take(seat) {
    if (seat.round < this.latest) return false;
    if (!this.taken.has(seat.round)) this.enter(seat.round);
    const series = seat.series.get(this.metric);
    if (!series) return true;
    const done = this.taken.get(seat.round) ?? 0;
    if (!done) this.breakBefore(seat.round);
    for (let i = done; i < series.steps.length; i += 1) this.takePoint(seat, series, i);
    this.taken.set(seat.round, series.steps.length);
    return true;
  }

  /**
   * The rounds before this one are over.
   * @param {number} round
   */
  enter(round) {
    this.offset = 0;
    for (const [number, { total }] of this.client.rounds) if (number < round) this.offset += total;
    this.latest = round;
  }

  /** @param {number} round */
  breakBefore(round) {
    const missed = this.axis === "time" || round > this.before + 1;
    if (!this.joined && this.before && missed && this.x.last !== undefined) {
      this.x.push(this.x.last);
      this.y.push(Number.NaN);
      this.s.push(Number.NaN);
    }
    this.before = round;
  }

  /**
   * @param {Seat} seat
   * @param {Series} series
   * @param {number} i
   */
  takePoint(seat, series, i) {
    const value = series.values.data[i];
    const known = series.smooth?.data;
    this.x.push(this.at(seat, series, i));
    this.y.push(value);
    this.s.push(i < series.loaded && known && !this.joined ? known[i] : this.smooth(value));
    if (i === series.loaded - 1 && known) this.resume(series.whole, known[i]);
  }

  /**
   * @param {Seat} seat
   * @param {Series} series
   * @param {number} i
   */
  at(seat, series, i) {
    if (this.axis === "time") return (series.times.data[i] - this.options.start) / 60;
    if (this.axis === "step") return this.offset + series.steps.data[i];
    const place = seat.round - 1 + Math.min(1, series.steps.data[i] / Math.max(1, seat.total));
    return this.axis === "epoch" ? place * this.options.epochs : place;
  }

  /**
   * TensorBoard's smoothing: an exponential mean whose start is not pulled to zero.
   * @param {number} value
   */
  smooth(value) {
    if (!Number.isFinite(value)) return Number.NaN; // a gap stays a gap
    this.mean = this.mean * this.weight + (1 - this.weight) * value;
    this.count += 1;
    return this.weight ? this.mean / (1 - this.weight ** this.count) : value;
  }

  /**
   * Continue where the server's smoothing ended.
   * @param {number} count of the points in it
   * @param {number} value
   */
  resume(count, value) {
    this.count += count;
    if (Number.isFinite(value)) this.mean = value * (1 - this.weight ** this.count);
  }

  /**
   * The smoothed value nearest to x; NaN where the line is not.
   * @param {number} x
   */
  near(x) {
    const { data, length } = this.x;
    const i = countBelow(this.x, x, true) - 1;
    if (!length || x < data[0]) return Number.NaN;
    const reach = 1e-9 + 0.02 * Math.abs(data[i] - data[0]);
    if (i === length - 1 && x > data[i] + reach) return Number.NaN;
    const isNextNearer = i + 1 < length && data[i + 1] - x < x - data[i];
    return this.s.data[isNextNearer ? i + 1 : i];
  }

  /** The last smoothed value that is a number. */
  get last() {
    return this.s.all.findLast(Number.isFinite) ?? Number.NaN;
  }
}

/**
 * A client's seats, the first round first.
 * @param {Client} client
 */
function seatsOf({ rounds }) {
  return [...rounds.values()].sort((a, b) => a.round - b.round);
}
