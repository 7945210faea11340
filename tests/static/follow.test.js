import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Follower } from "../../static/js/follow.js";

/** A websocket whose server is the test. */
class Socket {
  static OPEN = 1;
  static all = [];

  constructor(url) {
    Object.assign(this, { url: String(url), sent: [], readyState: Socket.OPEN, isClosed: false });
    Socket.all.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.isClosed = true;
  }

  say(...seqs) {
    this.onmessage({ data: JSON.stringify({ events: seqs.map((seq) => ({ seq, kind: "round.opened" })) }) });
  }
}

Object.assign(globalThis, { WebSocket: Socket, location: { href: "https://example.test/sessions/1/" } });

let seen;
let states;
beforeEach(() => {
  Socket.all = [];
  seen = [];
  states = [];
});

function follow(context, after = 0) {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  return new Follower("/ws/sessions/1/", after, {
    onEvents: (events) => seen.push(...events.map(({ seq }) => seq)),
    onState: ({ state }) => states.push(state),
  });
}

const newest = () => Socket.all.at(-1);

test("it asks for what it missed and is live when nothing is missing any more", (context) => {
  const follower = follow(context, 7);
  assert.equal(newest().url, "wss://example.test/ws/sessions/1/");
  newest().onopen();
  assert.deepEqual(newest().sent, [{ after: 7, confirm: true }]);
  newest().say(8, 9);
  assert.equal(follower.state, "connecting");
  newest().say();
  assert.equal(follower.state, "live");
  assert.deepEqual(seen, [8, 9]);
});

test("what comes twice is dropped", (context) => {
  follow(context, 7);
  newest().onopen();
  newest().say(7, 8);
  newest().say(8, 9);
  assert.deepEqual(seen, [8, 9]);
});

test("a lost connection is tried again, later each time, and asks for what it missed", (context) => {
  const follower = follow(context);
  newest().onopen();
  newest().say(1);
  newest().say();
  newest().onclose();
  assert.equal(follower.state, "reconnecting");
  context.mock.timers.tick(500);
  assert.equal(Socket.all.length, 2);
  newest().onclose();
  context.mock.timers.tick(999);
  assert.equal(Socket.all.length, 2);
  context.mock.timers.tick(1);
  assert.equal(Socket.all.length, 3);
  newest().onopen();
  assert.equal(follower.state, "catching");
  assert.deepEqual(newest().sent, [{ after: 1, confirm: true }]);
  newest().say();
  assert.equal(follower.state, "live");
  assert.equal(follower.failed, 0);
});

test("a connection that died silently is noticed", (context) => {
  const follower = follow(context);
  newest().onopen();
  newest().say();
  context.mock.timers.tick(15_000);
  assert.equal(newest().sent.length, 2, "the server is asked whether it is there");
  context.mock.timers.tick(10_000);
  assert.equal(follower.state, "reconnecting");
  assert.equal(Socket.all[0].isClosed, true);
});

test("somebody who leaves hears nothing more", (context) => {
  const follower = follow(context);
  newest().onopen();
  follower.leave();
  context.mock.timers.tick(60_000);
  assert.equal(Socket.all.length, 1);
  assert.deepEqual(states, []);
});

test("a probe asks an open connection, and renews one that is not", (context) => {
  const follower = follow(context);
  newest().onopen();
  newest().say();
  follower.probe();
  assert.equal(newest().sent.length, 2);
  newest().readyState = 3;
  follower.probe();
  assert.equal(Socket.all.length, 2);
  assert.equal(follower.state, "catching");
});
