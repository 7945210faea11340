// The points of the curves, each once. A point is known by (client, round, attempt, metric, step); a later attempt of a
// round replaces the earlier one. No drawing here.
import { estimated, Series } from "./series.js";

/**
 * @typedef {object} Seat
 * @property {number} client
 * @property {number} round
 * @property {number} attempt
 * @property {number} total how many steps it takes, as far as known
 * @property {boolean} open
 * @property {Map<string, Series>} series by metric
 */

/** @typedef {{ id: number, name: string, ordinal: number }} ClientName */
/** @typedef {ClientName & { rounds: Map<number, Seat> }} Client */
/** @typedef {{ client: number, seat: Seat, fresh: Set<string>, moved: boolean }} Added */

/**
 * What the server answers.
 * @typedef {object} Loaded
 * @property {number} start in seconds
 * @property {number} seq the last event that is in it
 * @property {string | null} [metric] the only metric that is in it
 * @property {boolean} [thinned]
 * @property {string[]} names of metrics
 * @property {string[]} shares measures that lie between 0 and 1
 * @property {[number, number][]} attempts the newest attempt of each round
 * @property {ClientName[]} clients
 * @property {LoadedSeat[]} seats
 */

/**
 * @typedef {object} LoadedSeat
 * @property {number} client
 * @property {number} round
 * @property {number} attempt
 * @property {number} steps
 * @property {boolean} open
 * @property {Record<string, import("./series.js").Columns>} series
 * @property {Record<string, number>} [counts]
 */

/**
 * The payload of a metrics.reported event.
 * @typedef {object} Report
 * @property {{ id: number }} client
 * @property {number} round
 * @property {number} attempt
 * @property {string} phase
 * @property {number} fraction
 * @property {{ name: string, step: number, value: number | null, time: string }[]} points
 */

export class Points {
  constructor() {
    /** @type {Map<number, Client>} */
    this.clients = new Map();
    /** @type {Set<string>} */
    this.names = new Set(); // of the metrics
    /** @type {Set<string>} */
    this.shares = new Set(); // measures that lie between 0 and 1
    /** @type {Map<number, number>} */
    this.attempts = new Map(); // round -> its newest attempt
    this.start = 0; // seconds
    this.seq = 0;
    /** @type {string | null} */
    this.metric = null; // the only metric that is held; null: all
    this.thinned = false;
  }

  /**
   * Begin again with what the server has. Events that it had already are then ignored.
   * @param {Loaded} data
   */
  load(data) {
    this.clients.clear();
    this.start = data.start;
    this.seq = data.seq;
    this.metric = data.metric ?? null;
    this.thinned = Boolean(data.thinned);
    this.names = new Set(data.names);
    this.shares = new Set(data.shares);
    this.attempts = new Map(data.attempts);
    for (const client of data.clients) this.meet(client);
    for (const seat of data.seats) this.loadSeat(seat);
  }

  /** @param {LoadedSeat} seat */
  loadSeat(seat) {
    const mine = this.seat(seat.client, seat.round, seat.attempt);
    if (!mine) return;
    mine.total = Math.max(1, seat.steps);
    mine.open = seat.open;
    for (const [name, columns] of Object.entries(seat.series)) {
      mine.series.set(name, new Series(columns, seat.counts?.[name]));
      this.names.add(name);
    }
  }

  /** @param {string} name */
  holds(name) {
    return this.metric === null || this.metric === name;
  }

  /** @param {number} id */
  knows(id) {
    return this.clients.has(id);
  }

  /** @param {ClientName} client */
  meet({ id, name, ordinal }) {
    if (!this.clients.has(id)) this.clients.set(id, { id, name, ordinal, rounds: new Map() });
  }

  /**
   * The rounds of a client that is known.
   * @param {number} id
   */
  roundsOf(id) {
    const client = this.clients.get(id);
    if (!client) throw new Error(`client ${id} is not known here`);
    return client.rounds;
  }

  /**
   * The seat of a client in a round; null for an attempt that a later one replaced.
   * @param {number} id
   * @param {number} round
   * @param {number} attempt
   */
  seat(id, round, attempt) {
    const rounds = this.roundsOf(id);
    const seat = rounds.get(round);
    if ((this.attempts.get(round) ?? 1) > attempt || (seat && seat.attempt > attempt)) return null;
    if (seat && seat.attempt === attempt) return seat;
    /** @type {Seat} */
    const fresh = { client: id, round, attempt, total: 0, open: true, series: new Map() };
    rounds.set(round, fresh);
    return fresh;
  }

  /**
   * A round opened again: what its earlier attempts drew goes. True if something went.
   * @param {number} round
   * @param {number} attempt
   */
  retry(round, attempt) {
    let gone = false;
    if (attempt > (this.attempts.get(round) ?? 1)) this.attempts.set(round, attempt);
    for (const { rounds } of this.clients.values()) {
      if ((rounds.get(round)?.attempt ?? attempt) < attempt) {
        rounds.delete(round);
        gone = true;
      }
    }
    return gone;
  }

  /**
   * A seat ended: its work is as long as it got. True if that moves its points.
   * @param {{ client?: { id: number }, round: number, attempt: number }} payload
   */
  end({ client, round, attempt }) {
    const seat = client && this.clients.get(client.id)?.rounds.get(round);
    if (!seat || seat.attempt !== attempt) return false;
    const before = seat.total;
    seat.open = false;
    seat.total = lastStep(seat);
    return before !== seat.total;
  }

  /**
   * Take in what was reported. Null if there was nothing new. `moved`: older points moved or went, so that the curve
   * must be laid out anew.
   * @param {Report} report
   * @returns {Added | null}
   */
  add({ client, round, attempt, phase, fraction, points }) {
    const before = this.roundsOf(client.id).get(round);
    const seat = this.seat(client.id, round, attempt);
    if (!seat) return null;
    let moved = Boolean(before) && before !== seat;
    /** @type {Set<string>} */
    const fresh = new Set();
    for (const { name, step, value, time } of points) {
      this.names.add(name);
      const came = seriesOf(seat, name).push(step, value, Date.parse(time) / 1000);
      if (came) fresh.add(name);
      if (came === "between") moved = true;
    }
    moved = measure(seat, phase, fraction) || moved;
    return fresh.size || moved ? { client: client.id, seat, fresh, moved } : null;
  }

  /**
   * How many points of a metric each client has, by the client's name.
   * @param {string} name
   * @returns {Record<string, number>}
   */
  counts(name) {
    const out = Object.create(null); // a client may have any name
    for (const { name: client, rounds } of this.clients.values()) {
      let n = 0;
      for (const { series } of rounds.values()) n += series.get(name)?.whole ?? 0;
      if (n) out[client] = n;
    }
    return out;
  }

  /**
   * Clients that have a point of the metric, in the order in which they joined.
   * @param {string} name
   */
  having(name) {
    const some = [...this.clients.values()].filter(({ rounds }) =>
      [...rounds.values()].some(({ series }) => series.has(name)),
    );
    return some.sort((a, b) => a.ordinal - b.ordinal);
  }

  get rounds() {
    let most = 1;
    for (const { rounds } of this.clients.values()) {
      for (const number of rounds.keys()) most = Math.max(most, number);
    }
    return most;
  }

  /**
   * A metric that comes about once a round is drawn as points that are joined, not as a curve to be smoothed.
   * @param {string} name
   */
  isSparse(name) {
    let seats = 0;
    let points = 0;
    for (const { rounds } of this.clients.values()) {
      for (const { series } of rounds.values()) {
        const one = series.get(name);
        if (!one) continue;
        seats += 1;
        points += one.whole;
      }
    }
    return points <= 2 * seats;
  }
}

/**
 * @param {Seat} seat
 * @param {string} name
 */
function seriesOf(seat, name) {
  const known = seat.series.get(name) ?? new Series();
  seat.series.set(name, known);
  return known;
}

/** @param {Seat} seat */
const lastStep = (seat) => Math.max(1, ...[...seat.series.values()].map((series) => series.last));

/**
 * How long a seat's work is, from how far it says it is. True if that changed what was thought.
 * @param {Seat} seat
 * @param {string} phase
 * @param {number} fraction
 */
function measure(seat, phase, fraction) {
  const thought = seat.total;
  const last = lastStep(seat);
  const trains = seat.open && phase === "training" && fraction > 0 && fraction < 1;
  seat.total = trains ? estimated(last, fraction) : last;
  return thought !== 0 && seat.total !== thought;
}
