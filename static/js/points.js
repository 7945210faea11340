// The points of the curves, each once. A point is known by (client, round, attempt, metric, step); a later attempt of a
// round replaces the earlier one. No drawing here.

class Series {
  steps = [];
  values = [];
  times = [];
  known = new Set();

  /** False if the step is known already. */
  push(step, value, time) {
    if (this.known.has(step)) return false;
    this.known.add(step);
    this.steps.push(step);
    this.values.push(value);
    this.times.push(time);
    return true;
  }
}

export class Points {
  constructor() {
    this.clients = new Map(); // id -> {id, name, ordinal, rounds: Map(number -> seat)}
    this.names = [];
    this.start = 0; // seconds
    this.seq = 0;
  }

  /** Take in what the server has. What is here already stays, so that events that came meanwhile are not lost. */
  load(data) {
    this.start = data.start;
    this.seq = Math.max(this.seq, data.seq);
    for (const client of data.clients) this.meet(client);
    for (const seat of data.seats) {
      const mine = this.seat(seat.client, seat.round, seat.attempt);
      if (!mine) continue;
      mine.total = Math.max(mine.total, seat.steps);
      for (const [name, [steps, values, times]] of Object.entries(seat.series)) {
        const series = this.series(mine, name);
        steps.forEach((step, i) => series.push(step, values[i], times[i]));
      }
    }
  }

  knows(id) { return this.clients.has(id); }

  meet({ id, name, ordinal }) {
    if (!this.clients.has(id)) this.clients.set(id, { id, name, ordinal, rounds: new Map() });
  }

  /** The seat of a client in a round; null for an attempt that a later one replaced. */
  seat(id, round, attempt) {
    const { rounds } = this.clients.get(id), seat = rounds.get(round);
    if (seat && seat.attempt > attempt) return null;
    if (seat && seat.attempt === attempt) return seat;
    const fresh = { round, attempt, total: 0, series: new Map() };
    rounds.set(round, fresh);
    return fresh;
  }

  series(seat, name) {
    if (!seat.series.has(name)) seat.series.set(name, new Series());
    if (!this.names.includes(name)) this.names.push(name);
    return seat.series.get(name);
  }

  /**
   * Take in a metrics.reported event.
   * Returns {client, seat, fresh: Map(name -> [index in the series]), moved}: moved means that older points moved or went,
   * so that the curve must be drawn anew; null if there was nothing new.
   */
  add({ client, round, attempt, phase, fraction, points }) {
    const before = this.clients.get(client.id).rounds.get(round);
    const seat = this.seat(client.id, round, attempt);
    if (!seat) return null;
    let moved = Boolean(before) && before !== seat, last = 0;
    const fresh = new Map();
    for (const { name, step, value, time } of points) {
      last = Math.max(last, step);
      const series = this.series(seat, name);
      if (!series.push(step, value, Date.parse(time) / 1000)) continue;
      if (!fresh.has(name)) fresh.set(name, []);
      fresh.get(name).push(series.steps.length - 1);
    }
    moved = this.measure(seat, phase, fraction, last) || moved;
    return fresh.size || moved ? { client: client.id, seat, fresh, moved } : null;
  }

  /** How long the seat's work is, from how far it says it is. True if that changed what was thought. */
  measure(seat, phase, fraction, last) {
    const thought = seat.total, told = phase === "training" && fraction > 0 && last ? Math.round(last / fraction) : last;
    if (told > thought || (phase === "training" && thought && told && Math.abs(told - thought) > 0.02 * thought)) seat.total = Math.max(told, last);
    return thought !== 0 && seat.total !== thought;
  }

  /** How many points of a metric each client has. */
  counts(name) {
    const out = {};
    for (const { name: client, rounds } of this.clients.values()) {
      let n = 0;
      for (const { series } of rounds.values()) n += series.get(name)?.steps.length ?? 0;
      if (n) out[client] = n;
    }
    return out;
  }

  get rounds() {
    let most = 1;
    for (const { rounds } of this.clients.values()) for (const number of rounds.keys()) most = Math.max(most, number);
    return most;
  }

  /** A metric that comes about once a round is drawn as points that are joined, not as a curve to be smoothed. */
  isSparse(name) {
    let seats = 0, points = 0;
    for (const { rounds } of this.clients.values()) {
      for (const { series } of rounds.values()) {
        const one = series.get(name);
        if (one) { seats += 1; points += one.steps.length; }
      }
    }
    return points <= 2 * seats;
  }

  /**
   * A client's curve: {x, y, seat of the last point}. A gap in the data is a gap in the line: on the time axis between
   * rounds, on the others where a round was missed.
   */
  curve(id, name, axis, joined) {
    const client = this.clients.get(id), x = [], y = [];
    let offset = 0, before = 0;
    for (const number of [...client.rounds.keys()].sort((a, b) => a - b)) {
      const seat = client.rounds.get(number), one = seat.series.get(name);
      if (one) {
        if (!joined && before && (axis === "time" || number > before + 1)) { x.push(x.at(-1)); y.push(null); }
        before = number;
        const order = sorted(one.steps);
        for (const i of order) { x.push(this.x(axis, seat, one, i, offset)); y.push(one.values[i]); }
      }
      offset += seat.total;
    }
    return { x, y, offset: offset - (client.rounds.get(Math.max(...client.rounds.keys()))?.total ?? 0) };
  }

  x(axis, seat, series, i, offset) {
    if (axis === "time") return (series.times[i] - this.start) / 60;
    if (axis === "step") return offset + series.steps[i];
    return seat.round - 1 + Math.min(1, series.steps[i] / Math.max(1, seat.total));
  }
}

/** Indices in the order of steps; they nearly always are already. */
function sorted(steps) {
  const order = steps.map((_, i) => i);
  for (let i = 1; i < steps.length; i += 1) if (steps[i] < steps[i - 1]) return order.sort((a, b) => steps[a] - steps[b]);
  return order;
}
