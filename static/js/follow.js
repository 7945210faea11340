// Follows one log over a websocket. Reconnects for ever, asks for whatever it missed, drops what comes twice.
const FIRST = 500, LONGEST = 15_000; // ms between two tries, doubling
const SILENT = 10_000; // ms that a connection may take to open

export class Follower {
  /** onEvents(events): consecutive and new. onState(): `state`, `since` or `retryAt` changed. */
  constructor(url, after, { onEvents, onState }) {
    Object.assign(this, { url, seen: after, onEvents, onState, state: "connecting", since: Date.now(), retryAt: 0, failed: 0, delay: FIRST });
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    const socket = new WebSocket(new URL(this.url, location.href.replace(/^http/, "ws")));
    this.socket = socket;
    this.timer = setTimeout(() => socket.close(), SILENT);
    socket.onopen = () => {
      clearTimeout(this.timer);
      socket.send(JSON.stringify({ after: this.seen }));
      Object.assign(this, { delay: FIRST, failed: 0, retryAt: 0 });
      this.become("live");
    };
    socket.onmessage = ({ data }) => {
      const fresh = JSON.parse(data).events.filter((event) => event.seq > this.seen);
      if (!fresh.length) return;
      this.seen = fresh.at(-1).seq;
      this.onEvents(fresh);
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      clearTimeout(this.timer);
      this.failed += 1;
      this.retryAt = Date.now() + this.delay;
      this.timer = setTimeout(() => this.connect(), this.delay);
      this.delay = Math.min(this.delay * 2, LONGEST);
      this.become("reconnecting");
    };
  }

  become(state) {
    if (this.state !== state) this.since = Date.now();
    this.state = state;
    this.onState(this);
  }

  retry() {
    if (this.state === "live") return;
    this.delay = FIRST;
    this.connect();
  }
}
