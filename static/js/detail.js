// The part of a large session that one zoomed into, in full. The overview keeps only the lowest, highest and last points.
import { Points } from "./points.js";

/** What the server is asked for: the metric, the smoothing, and where one looks. */
export function question(curves, more = {}) {
  const ask = new URLSearchParams({ metric: curves.metric || "train_loss", smooth: curves.weight, ...more });
  if (curves.x === "time") ask.set("timed", "1");
  return ask;
}

export class Detail {
  /** data: the server's answer for a stretch [from, to] of the axis that `curves` shows. */
  constructor(curves, data) {
    this.points = new Points();
    this.points.load(data);
    this.view = Detail.of(curves);
    this.range = curves.zoom.slice(0, 2);
  }

  static of({ metric, x, weight, only }) { return [metric, x, weight, ...[...only].sort()].join("\n"); }

  covers(curves) {
    const [from, to] = curves.zoom;
    return Detail.of(curves) === this.view && from >= this.range[0] && to <= this.range[1];
  }
}

/** A stretch of an axis in rounds since the first began: what it is for the client that is the furthest to either side. */
export function inRounds(curves) {
  const { points, x: axis, epochs } = curves, [from, to] = curves.zoom;
  if (axis === "round") return [from, to];
  if (axis === "epoch") return [from / epochs, to / epochs];
  let low = Infinity, high = -Infinity;
  for (const client of points.having(curves.metric)) {
    let offset = 0;
    for (const number of [...client.rounds.keys()].sort((a, b) => a - b)) {
      const seat = client.rounds.get(number), [begin, end] = axis === "step" ? [offset, offset + seat.total] : minutes(seat, curves);
      offset += seat.total;
      if (!(end >= from && begin <= to)) continue;
      const share = (at) => Math.min(1, Math.max(0, (at - begin) / (end - begin || 1)));
      low = Math.min(low, number - 1 + share(from));
      high = Math.max(high, number - 1 + share(to));
    }
  }
  const room = axis === "time" ? 0.05 * (high - low) : 0; // steps are not quite even in time
  return high >= low ? [low - room, high + room] : [0, 0];
}

function minutes(seat, { points, metric }) {
  const times = seat.series.get(metric)?.times;
  return times?.length ? [0, times.length - 1].map((i) => (times.data[i] - points.start) / 60) : [NaN, NaN];
}
