// Follows one log over a websocket. Reconnects for ever, asks for whatever it missed, drops what comes twice, and
// notices a connection that died without a word.
const FIRST = 500, LONGEST = 15_000; // ms between two tries, doubling
const OPENS = 10_000; // ms that a connection may take to open, and the server to answer
const QUIET = 15_000; // ms without a word after which the server is asked whether it is still there

export class Follower {
  /**
   * onEvents(events): consecutive and new. onState(): `state` or `retryAt` changed. `heard` is when everything that had
   * happened was known to be here. States: connecting (for the first time), live, catching (connecting again, or being
   * sent what was missed), reconnecting (waits for the next try).
   */
  constructor(url, after, { onEvents, onState }) {
    Object.assign(this, { url, seen: after, onEvents, onState, state: "connecting", heard: Date.now(), retryAt: 0, failed: 0, delay: FIRST });
    this.connect();
  }

  connect() {
    this.leave();
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
    this.socket.send(JSON.stringify({ after: this.seen, confirm: true }));
    this.after(OPENS, () => this.lost());
  }

  take(events) {
    const fresh = events.filter((event) => event.seq > this.seen);
    if (fresh.length) {
      this.seen = fresh.at(-1).seq;
      this.onEvents(fresh);
      if (!this.socket) return; // and left it at that
    }
    if (!events.length) {
      Object.assign(this, { asking: false, delay: FIRST, failed: 0, retryAt: 0 });
      this.become("live");
    }
    if (this.asking) {
      this.after(OPENS, () => this.lost());
    } else {
      this.heard = Date.now();
      this.after(QUIET, () => this.ask());
    }
  }

  lost() {
    this.leave();
    this.failed += 1;
    this.retryAt = Date.now() + this.delay;
    this.after(this.delay, () => this.connect());
    this.delay = Math.min(this.delay * 2, LONGEST);
    this.become("reconnecting");
  }

  /** Have nothing to do with the connection any more: one that died silently may take minutes to say so. */
  leave() {
    clearTimeout(this.timer);
    if (!this.socket) return;
    Object.assign(this.socket, { onopen: null, onmessage: null, onclose: null });
    this.socket.close();
    this.socket = null;
  }

  after(ms, act) {
    clearTimeout(this.timer);
    this.timer = setTimeout(act, ms);
  }

  become(state) {
    this.state = state;
    this.onState(this);
  }

  /** Connect anew at once: time passed in which nothing could be heard, or somebody asks for it. */
  renew() {
    this.delay = FIRST;
    if (this.state !== "connecting") this.become("catching");
    this.connect();
  }

  /** Is the connection still there? */
  probe() {
    if (this.socket?.readyState === WebSocket.OPEN) this.ask(); else this.renew();
  }
}
