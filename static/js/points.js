// The points of the curves, each once. A point is known by (client, round, attempt, metric, step); a later attempt of a
// round replaces the earlier one. No drawing here.

const DRAWABLE = 1e100; // a larger value is a gap, as in dashboard/curves.py: no chart bears it beside others
const drawable = (value) => (Math.abs(value) <= DRAWABLE ? value : NaN);

/** Numbers in a typed array that grows. */
export class Column {
  constructor(values = []) { this.data = Float64Array.from(values, (v) => v ?? NaN); this.length = values.length; }
  push(value) {
    if (this.length === this.data.length) {
      const grown = new Float64Array(Math.max(64, 2 * this.length));
      grown.set(this.data);
      this.data = grown;
    }
    this.data[this.length] = value;
    this.length += 1;
  }
  insert(at, value) {
    this.push(value);
    this.data.copyWithin(at + 1, at, this.length - 1);
    this.data[at] = value;
  }
  get all() { return this.data.subarray(0, this.length); }
}

/** One metric of one seat, by step. `whole` is how many points there are, `loaded` up to where they came from the server. */
class Series {
  constructor([steps, values, times, smooth] = [[], [], [], null], whole = steps.length) {
    const order = steps.some((step, i) => i && step < steps[i - 1]) ? steps.map((_, i) => i).sort((a, b) => steps[a] - steps[b]) : null;
    const column = (list) => new Column(order && list ? order.map((i) => list[i]) : list ?? new Array(steps.length).fill(NaN));
    Object.assign(this, { steps: column(steps), values: column(values), times: column(times), smooth: smooth && column(smooth), whole });
    this.thinned = whole > steps.length;
    this.loaded = this.steps.length;
    this.until = this.thinned ? this.steps.data[this.loaded - 1] : -1; // every point up to here is counted, if not held
  }

  get last() { return this.steps.length ? this.steps.data[this.steps.length - 1] : 0; }

  /** "": the step is known already; "end" or "between": where it came in. */
  push(step, value, time) {
    if (step <= this.until) return "";
    const { data, length } = this.steps;
    if (!length || step > data[length - 1]) {
      this.steps.push(step); this.values.push(drawable(value ?? NaN)); this.times.push(time);
      this.whole += 1;
      return "end";
    }
    let low = 0, high = length;
    while (low < high) { const mid = (low + high) >> 1; if (data[mid] < step) low = mid + 1; else high = mid; }
    if (data[low] === step) return "";
    this.steps.insert(low, step); this.values.insert(low, drawable(value ?? NaN)); this.times.insert(low, time);
    this.smooth = null;
    this.whole += 1;
    return "between";
  }
}

const LEAST_DONE = 1e-6, LONGEST = 2 ** 63;
/**
 * How long a seat's work is, from the last step it reported and the share that this is, to within 1 %: the same here and
 * in dashboard/curves.py, whoever saw which points.
 */
export function estimated(last, fraction) {
  const raw = Math.min(last / Math.max(fraction, LEAST_DONE), LONGEST);
  if (raw < 1) return last; // nothing was reported but a point at step 0
  const grain = 2 ** (Math.floor(Math.log2(raw)) - 6);
  return Math.max(last, Math.floor(raw / grain + 0.5) * grain);
}

export class Points {
  constructor() {
    this.clients = new Map(); // id -> {id, name, ordinal, rounds: Map(number -> seat)}
    this.names = new Set(); // of the metrics
    this.attempts = new Map(); // round -> its newest attempt
    this.start = 0; // seconds
    this.seq = 0;
    this.metric = null; // the only metric that is held; null: all
    this.thinned = false;
  }

  /** Begin anew with what the server has. Events that it had already are then passed over. */
  load(data) {
    this.clients.clear();
    this.start = data.start;
    this.seq = data.seq;
    this.metric = data.metric ?? null;
    this.thinned = Boolean(data.thinned);
    this.names = new Set(data.names);
    this.attempts = new Map(data.attempts);
    for (const client of data.clients) this.meet(client);
    for (const seat of data.seats) {
      const mine = this.seat(seat.client, seat.round, seat.attempt);
      if (!mine) continue;
      mine.total = Math.max(1, seat.steps);
      mine.open = seat.open;
      for (const [name, columns] of Object.entries(seat.series)) {
        mine.series.set(name, new Series(columns, seat.counts?.[name]));
        this.names.add(name);
      }
    }
  }

  holds(name) { return this.metric === null || this.metric === name; }
  knows(id) { return this.clients.has(id); }

  meet({ id, name, ordinal }) {
    if (!this.clients.has(id)) this.clients.set(id, { id, name, ordinal, rounds: new Map() });
  }

  /** The seat of a client in a round; null for an attempt that a later one replaced. */
  seat(id, round, attempt) {
    const { rounds } = this.clients.get(id), seat = rounds.get(round);
    if ((this.attempts.get(round) ?? 1) > attempt || (seat && seat.attempt > attempt)) return null;
    if (seat && seat.attempt === attempt) return seat;
    const fresh = { client: id, round, attempt, total: 0, open: true, series: new Map() };
    rounds.set(round, fresh);
    return fresh;
  }

  /** A round opened again: what its earlier attempts drew goes. True if something went. */
  retry(round, attempt) {
    let gone = false;
    if (attempt > (this.attempts.get(round) ?? 1)) this.attempts.set(round, attempt);
    for (const { rounds } of this.clients.values()) {
      if (rounds.get(round)?.attempt < attempt) { rounds.delete(round); gone = true; }
    }
    return gone;
  }

  /** A seat ended: its work is as long as it got. True if that moves its points. */
  end({ client, round, attempt }) {
    const seat = this.clients.get(client?.id)?.rounds.get(round);
    if (!seat || seat.attempt !== attempt) return false;
    const before = seat.total;
    seat.open = false;
    seat.total = this.last(seat);
    return before !== seat.total;
  }
  last(seat) { return Math.max(1, ...[...seat.series.values()].map((series) => series.last)); }

  /**
   * Take in a metrics.reported event. Returns {client, seat, fresh: Set of metrics, moved}: moved means that older points
   * moved or went, so that the curve must be laid out anew; null if there was nothing new.
   */
  add({ client, round, attempt, phase, fraction, points }) {
    const before = this.clients.get(client.id).rounds.get(round), seat = this.seat(client.id, round, attempt);
    if (!seat) return null;
    let moved = Boolean(before) && before !== seat;
    const fresh = new Set();
    for (const { name, step, value, time } of points) {
      this.names.add(name);
      if (!seat.series.has(name)) seat.series.set(name, new Series());
      const came = seat.series.get(name).push(step, value, Date.parse(time) / 1000);
      if (came) fresh.add(name);
      if (came === "between") moved = true;
    }
    moved = this.measure(seat, phase, fraction) || moved;
    return fresh.size || moved ? { client: client.id, seat, fresh, moved } : null;
  }

  /** How long the seat's work is, from how far it says it is. True if that changed what was thought. */
  measure(seat, phase, fraction) {
    const thought = seat.total, last = this.last(seat), trains = seat.open && phase === "training" && fraction > 0 && fraction < 1;
    seat.total = trains ? estimated(last, fraction) : last;
    return thought !== 0 && seat.total !== thought;
  }

  /** How many points of a metric each client has. */
  counts(name) {
    const out = Object.create(null); // a client may have any name
    for (const { name: client, rounds } of this.clients.values()) {
      let n = 0;
      for (const { series } of rounds.values()) n += series.get(name)?.whole ?? 0;
      if (n) out[client] = n;
    }
    return out;
  }

  /** Clients that have a point of the metric, in the order in which they joined. */
  having(name) {
    const some = [...this.clients.values()].filter(({ rounds }) => [...rounds.values()].some(({ series }) => series.has(name)));
    return some.sort((a, b) => a.ordinal - b.ordinal);
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
        if (one) { seats += 1; points += one.whole; }
      }
    }
    return points <= 2 * seats;
  }
}
