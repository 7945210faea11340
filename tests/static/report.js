// What agents report, made for tests.
import { Points } from "../../static/js/points.js";

const SECOND = Date.parse("2026-01-01T00:00:00Z") / 1000;

/** Points of a session that began at a full second, with clients 1, 2, … of these names. */
export function pointsOf(...names) {
  const points = new Points();
  const clients = names.map((name, i) => ({ id: i + 1, name, ordinal: i + 1 }));
  points.load({ start: SECOND, seq: 0, names: [], shares: [], attempts: [], clients, seats: [] });
  return points;
}

/** A report of client 1 in round 1: each value is that of the next step from `step` on, a second after the other. */
export function report({ client = 1, round = 1, attempt = 1, fraction = 1, step = 1, metric = "loss", values = [0] }) {
  const points = values.map((value, i) => ({ name: metric, step: step + i, value, time: at(step + i) }));
  return { client: { id: client }, round, attempt, phase: "training", fraction, points };
}

const at = (seconds) => new Date((SECOND + seconds) * 1000).toISOString();
