// Points from the server and from events: none is lost, none is taken twice.
import { breath } from "../breath.js";
import { Detail, inRounds, question } from "../detail.js";
import { throttled } from "../throttled.js";

/** @typedef {import("../curves.js").Curves} Curves */
/** @typedef {import("../follow.js").LogEvent} LogEvent */
/** @typedef {import("../points.js").Points} Points */
/** @typedef {import("../points.js").Added} Added */

const SEAT_ENDS = new Set([
  "seat.dropped",
  "seat.failed",
  "seat.skipped",
  "update.received",
  "result.received",
  "update.late",
]);
const ANEW = new Set(["session.started", "round.reopened"]); // times count from another instant; seats are open again
const CONCERNS = new Set(["metrics.reported", "round.opened", ...SEAT_ENDS, ...ANEW]);

/**
 * What the page does with new points.
 * @typedef {object} Picture
 * @property {() => Promise<void>} drawAnew
 * @property {(added: Added[]) => void} append
 * @property {() => void} show the state of the loading
 */

export class Loading {
  /**
   * @param {Curves} curves
   * @param {string} url that answers points
   * @param {Picture} picture
   */
  constructor(curves, url, picture) {
    this.curves = curves;
    this.points = curves.points;
    this.url = url;
    this.picture = picture;
    /** @type {LogEvent[]} */
    this.waiting = []; // events that came before the points were there
    this.isLoaded = false;
    this.flush = throttled(100, () => this.takeIn());
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.soon = undefined;
  }

  /** @param {Record<string, string | number>} [more] */
  async ask(more) {
    const answer = await fetch(`${this.url}?${question(this.curves, more)}`);
    if (!answer.ok || answer.redirected) throw new Error(`points: ${answer.status}`);
    return answer.json();
  }

  /** Ask until the server answers: it may just be restarting. */
  async load() {
    this.isLoaded = false;
    const began = performance.now();
    for (let wait = 500; !(await this.isFilled()); wait = Math.min(2 * wait, 15_000)) await pause(wait);
    await breath(began);
    this.isLoaded = true;
    this.curves.detail = null;
    this.curves.laid = "";
    await this.picture.drawAnew();
    this.flush();
    this.lookCloser();
  }

  async isFilled() {
    try {
      this.points.load(await this.ask());
      return true;
    } catch {
      return false;
    }
  }

  /** A large session's smoothing, metric and times come from the server: ask once a person has stopped choosing. */
  loadSoon() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.load(), 250);
  }

  /** Where points were left out, fetch those in sight. What comes meanwhile waits, so that none is missed. */
  async lookCloser() {
    const { curves, points } = this;
    const { zoom } = curves;
    if (!this.isLoaded || !points.thinned || !zoom || curves.detail?.covers(curves)) return;
    const [from, to] = inRounds(curves, zoom);
    const isolated = points.having(curves.metric).filter(({ name }) => curves.only.has(name));
    const clients = isolated.map(({ id }) => id).join(",");
    this.isLoaded = false;
    try {
      const data = await this.ask({ from, to, ...(clients ? { clients } : {}) });
      if (curves.zoom) curves.detail = new Detail({ ...lookOf(curves), zoom: curves.zoom }, data);
    } catch {
      // The overview stays.
    }
    this.isLoaded = true;
    await curves.draw();
    this.flush();
  }

  /**
   * Only what is of training has curves; other events name their kind of work.
   * @param {LogEvent[]} events of this session
   */
  hear(events) {
    this.waiting.push(...events.filter(({ kind, payload }) => CONCERNS.has(kind) && !payload.work));
    this.flush();
  }

  takeIn() {
    if (!this.isLoaded || !this.waiting.length) {
      this.picture.show();
      return;
    }
    const batch = this.waiting.filter(({ seq }) => seq > this.points.seq);
    this.waiting = [];
    if (batch.some((event) => ANEW.has(event.kind) || this.isUnknown(event))) {
      this.waiting = batch;
      this.load();
      return;
    }
    const changes = batch.flatMap((event) => this.held(event).map((points) => take(event, points)));
    const hasMoved = changes.some(({ moved }) => moved);
    const added = changes.flatMap(({ points, found }) => (found && points === this.curves.source ? [found] : []));
    if (hasMoved) this.curves.laid = "";
    if (added.length || hasMoved) this.picture.append(added);
  }

  /**
   * Whether an event is of a client that is not known yet: the server knows its colour.
   * @param {LogEvent} event
   */
  isUnknown({ kind, payload }) {
    return kind === "metrics.reported" && !this.points.knows(payload.client.id);
  }

  /**
   * What an event is new to: the overview, and the detail unless it was loaded with it.
   * @param {LogEvent} event
   */
  held({ seq }) {
    const { detail } = this.curves;
    return detail && seq > detail.points.seq ? [this.points, detail.points] : [this.points];
  }
}

/**
 * Take an event in. `moved`: points moved or went. `found`: what is new.
 * @param {LogEvent} event
 * @param {Points} points
 */
function take({ kind, payload }, points) {
  if (kind === "round.opened") return { points, moved: points.retry(payload.round, payload.attempt), found: null };
  if (SEAT_ENDS.has(kind)) return { points, moved: points.end(payload), found: null };
  const found = points.knows(payload.client.id) ? points.add(payload) : null;
  return { points, moved: false, found };
}

/** @param {Curves} curves */
const lookOf = ({ metric, x, weight, only }) => ({ metric, x, weight, only });

/** @param {number} ms */
const pause = (ms) =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
