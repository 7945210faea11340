// Follows one log over a websocket. Reconnects for ever, asks for whatever it missed, drops what comes twice, and
// notices a connection that died silently. While no websocket gets through it asks over HTTP instead.
import { Asking } from "./asking.js";

const FIRST = 500; // ms to the second try
const LONGEST = 15_000; // ms between two tries, which double
const OPENS = 10_000; // ms that a connection may take to open, and the server to answer
const TRIES = 2; // to connect in vain, before it asks over HTTP
const QUIET = 15_000; // ms of silence after which the server is asked whether it is still there

/**
 * connecting: for the first time. live. asking: over HTTP every few seconds, while it also tries to connect. catching:
 * connecting again, or being sent what was missed. reconnecting: waits for the next try.
 * @typedef {"connecting" | "live" | "asking" | "catching" | "reconnecting"} State
 */

/** @typedef {import("./asking.js").LogEvent} LogEvent */

/**
 * onEvents(events): consecutive and new. onState(follower): `state` or `retryAt` changed.
 * @typedef {{ onEvents: (events: LogEvent[]) => void, onState: (follower: Follower) => void }} Handlers
 */

export class Follower {
  /**
   * @param {string} url
   * @param {number} after the last event that is known
   * @param {Handlers} handlers
   */
  constructor(url, after, { onEvents, onState }) {
    this.url = url;
    this.seen = after;
    this.onEvents = onEvents;
    this.onState = onState;
    /** @type {State} */
    this.state = "connecting";
    this.heard = Date.now(); // when everything that had happened was known to be here
    this.retryAt = 0;
    this.failed = 0; // tries, since it was live
    this.delay = FIRST;
    this.asking = false; // what was missed is on its way
    this.checked = false; // it was just checked whether the person is signed in
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.asker = new Asking(url, {
      seen: () => this.seen,
      onAnswer: (events, more) => this.answered(events, more),
      onFailure: () => this.become("reconnecting"),
    });
    this.connect();
  }

  connect() {
    this.drop();
    const socket = new WebSocket(new URL(this.url, location.href.replace(/^http/, "ws")));
    this.socket = socket;
    socket.onopen = () => this.ask();
    socket.onmessage = ({ data }) => this.take(JSON.parse(data).events);
    socket.onclose = () => this.lost();
    this.after(OPENS, () => this.lost());
  }

  /** Send what was missed, and then an empty message: nothing is missing any more. */
  ask() {
    this.asking = true;
    if (this.state === "reconnecting") this.become("catching");
    this.socket?.send(JSON.stringify({ after: this.seen, confirm: true }));
    this.after(OPENS, () => this.lost());
  }

  /** @param {LogEvent[]} events */
  take(events) {
    this.hear(events);
    if (!this.socket) return; // it was left because of an event
    if (!events.length) this.isCaughtUp();
    if (this.asking) {
      this.after(OPENS, () => this.lost());
    } else {
      this.heard = Date.now();
      this.after(QUIET, () => this.ask());
    }
  }

  /** @param {LogEvent[]} events */
  hear(events) {
    const fresh = events.filter((event) => event.seq > this.seen);
    const newest = fresh.at(-1);
    if (!newest) return;
    this.seen = newest.seq;
    this.onEvents(fresh);
  }

  /**
   * @param {LogEvent[]} events
   * @param {boolean} more
   */
  answered(events, more) {
    this.hear(events);
    if (more || !this.asker.running) return;
    this.heard = Date.now();
    this.become("asking");
  }

  isCaughtUp() {
    this.asker.stop();
    this.asking = false;
    this.delay = FIRST;
    this.failed = 0;
    this.retryAt = 0;
    this.become("live");
  }

  lost() {
    this.drop();
    this.failed += 1;
    this.retryAt = Date.now() + this.delay;
    this.after(this.delay, () => this.connect());
    this.delay = Math.min(this.delay * 2, LONGEST);
    if (this.state !== "asking") this.become("reconnecting");
    if (this.failed >= TRIES) this.asker.start();
  }

  leave() {
    this.drop();
    this.asker.stop();
  }

  /** Have nothing to do with the connection any more: one that died silently may take minutes to say so. */
  drop() {
    clearTimeout(this.timer);
    if (!this.socket) return;
    Object.assign(this.socket, { onopen: null, onmessage: null, onclose: null });
    this.socket.close();
    this.socket = null;
  }

  /**
   * @param {number} ms
   * @param {() => void} act
   */
  after(ms, act) {
    clearTimeout(this.timer);
    this.timer = setTimeout(act, ms);
  }

  /** @param {State} state */
  become(state) {
    this.state = state;
    this.onState(this);
  }

  /** Connect anew at once: time passed in which nothing could be heard, or somebody asks for it. */
  renew() {
    this.delay = FIRST;
    if (this.state === "asking") this.asker.again();
    else if (this.state !== "connecting") this.become("catching");
    this.connect();
  }

  /** Is the connection still there? */
  probe() {
    if (this.socket?.readyState === WebSocket.OPEN) this.ask();
    else this.renew();
  }
}
