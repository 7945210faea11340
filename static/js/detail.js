// The part of a large session that one zoomed into, in full. The overview has only the lowest, highest and last points.
import { Points } from "./points.js";

/** @typedef {import("./lines.js").Axis} Axis */

/**
 * What is looked at: a metric, by an axis, smoothed, of the clients that are isolated, zoomed to [x, x, y, y].
 * @typedef {object} Look
 * @property {string} metric
 * @property {Axis} x
 * @property {number} weight
 * @property {Set<string>} only
 * @property {number[] | null} zoom
 */

/**
 * What the server is asked for: the metric, the smoothing, and where one looks.
 * @param {{ metric: string, weight: number, x: Axis }} look
 * @param {Record<string, string | number>} [more]
 */
export function question({ metric, weight, x }, more = {}) {
  const asked = { metric: metric || "train_loss", smooth: weight, ...more };
  const question = new URLSearchParams(Object.entries(asked).map(([name, value]) => [name, String(value)]));
  if (x === "time") question.set("timed", "1");
  return question;
}

export class Detail {
  /**
   * @param {Look & { zoom: number[] }} look at the stretch that was asked for
   * @param {import("./points.js").Loaded} data the server's answer
   */
  constructor(look, data) {
    this.points = new Points();
    this.points.load(data);
    this.view = viewOf(look);
    this.from = look.zoom[0];
    this.to = look.zoom[1];
  }

  /** @param {Look} look */
  covers(look) {
    if (!look.zoom) return false;
    const [from, to] = look.zoom;
    return viewOf(look) === this.view && from >= this.from && to <= this.to;
  }
}

/** @param {Look} look */
const viewOf = ({ metric, x, weight, only }) => [metric, x, weight, ...[...only].sort()].join("\n");

/**
 * A stretch of an axis in rounds since the first began: what it is for the client that is the furthest to either side.
 * @param {{ points: Points, metric: string, x: Axis, epochs: number }} curves
 * @param {number[]} zoom
 * @returns {[from: number, to: number]}
 */
export function inRounds({ points, metric, x: axis, epochs }, [from, to]) {
  if (axis === "round") return [from, to];
  if (axis === "epoch") return [from / epochs, to / epochs];
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const { number, begin, end } of stretches(points, metric, axis)) {
    if (!(end >= from && begin <= to)) continue;
    const share = (/** @type {number} */ at) => Math.min(1, Math.max(0, (at - begin) / (end - begin || 1)));
    low = Math.min(low, number - 1 + share(from));
    high = Math.max(high, number - 1 + share(to));
  }
  const room = axis === "time" ? 0.05 * (high - low) : 0; // steps are not quite even in time
  return high >= low ? [low - room, high + room] : [0, 0];
}

/**
 * Where on the axis each round of each client begins and ends.
 * @param {Points} points
 * @param {string} metric
 * @param {"step" | "time"} axis
 */
function* stretches(points, metric, axis) {
  for (const { rounds } of points.having(metric)) {
    let offset = 0;
    for (const seat of [...rounds.values()].sort((a, b) => a.round - b.round)) {
      const steps = [offset, offset + seat.total];
      const [begin, end] = axis === "step" ? steps : minutes(seat, metric, points.start);
      offset += seat.total;
      yield { number: seat.round, begin, end };
    }
  }
}

/**
 * @param {import("./points.js").Seat} seat
 * @param {string} metric
 * @param {number} start
 */
function minutes({ series }, metric, start) {
  const times = series.get(metric)?.times;
  if (!times?.length) return [Number.NaN, Number.NaN];
  return [times.data[0], times.data[times.length - 1]].map((time) => (time - start) / 60);
}
