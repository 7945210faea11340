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

/** What was asked for over HTTP. Nothing answers before a test says what does. */
let asked;
const away = () => Promise.reject(new TypeError("no way"));

let seen;
let states;
beforeEach(() => {
  Socket.all = [];
  asked = [];
  answerWith(away);
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

function answerWith(answer) {
  globalThis.fetch = (url) => {
    asked.push(url);
    return answer(url);
  };
}

/** An answer with these events. */
const events = (...seqs) => ({ more: false, events: seqs.map((seq) => ({ seq, kind: "round.opened" })) });
const says = (body) => () => Promise.resolve({ ok: true, status: 200, json: () => Promise.resolve(body) });
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** The proxy refuses a websocket, again and again. */
function refuse(context, times = 2) {
  for (let n = 0; n < times; n += 1) {
    newest().onclose();
    context.mock.timers.tick(15_000);
  }
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

// ---- no websocket gets through

test("where no websocket gets through it asks over HTTP, at its pace", async (context) => {
  answerWith(says(events(8, 9)));
  const follower = follow(context, 7);
  newest().onclose();
  assert.deepEqual(asked, [], "one connection that fails is no proof");
  context.mock.timers.tick(500);
  newest().onclose();
  await settled();
  assert.deepEqual(asked, ["/logs/sessions/1/?after=7"]);
  assert.deepEqual(seen, [8, 9]);
  assert.equal(follower.state, "asking");
  context.mock.timers.tick(4_999);
  assert.equal(asked.length, 1);
  context.mock.timers.tick(1);
  await settled();
  assert.equal(asked.at(-1), "/logs/sessions/1/?after=9");
  assert.deepEqual(seen, [8, 9], "what comes twice is dropped");
});

test("it asks on at once while the log has more", async (context) => {
  answerWith(says({ ...events(1), more: true }));
  const follower = follow(context);
  newest().onclose();
  context.mock.timers.tick(500);
  newest().onclose();
  await settled();
  assert.notEqual(follower.state, "asking", "something is missing still");
  answerWith(says(events(2)));
  context.mock.timers.tick(0);
  await settled();
  assert.deepEqual(seen, [1, 2]);
  assert.equal(follower.state, "asking");
});

test("it goes back to the websocket when that gets through, and asks no more", async (context) => {
  answerWith(says(events(1)));
  const follower = follow(context);
  refuse(context);
  await settled();
  assert.equal(follower.state, "asking");
  refuse(context, 1);
  assert.equal(follower.state, "asking", "a further try that fails changes nothing");
  newest().onopen();
  assert.deepEqual(newest().sent, [{ after: 1, confirm: true }]);
  newest().say(1, 2);
  newest().say();
  assert.equal(follower.state, "live");
  assert.deepEqual(seen, [1, 2]);
  const before = asked.length;
  context.mock.timers.tick(12_000);
  await settled();
  assert.equal(asked.length, before);
});

test("where nothing answers it reconnects, and asks once for each try", async (context) => {
  const follower = follow(context);
  refuse(context, 3);
  await settled();
  assert.equal(follower.state, "reconnecting");
  const before = asked.length;
  context.mock.timers.tick(100);
  await settled();
  assert.equal(asked.length, before);
});

test("an answer that is late changes nothing", async (context) => {
  let answer = () => {};
  answerWith(() => new Promise((resolve) => (answer = resolve)));
  const follower = follow(context);
  newest().onclose();
  context.mock.timers.tick(500);
  newest().onclose();
  follower.leave();
  answer({ ok: true, status: 200, json: () => Promise.resolve(events(1)) });
  await settled();
  assert.deepEqual(seen, []);
});

test("somebody who was signed out gets no answer; a log that was deleted has nothing more", async (context) => {
  answerWith(() => Promise.resolve({ ok: false, status: 0, type: "opaqueredirect" }));
  const follower = follow(context);
  refuse(context);
  await settled();
  assert.equal(follower.state, "reconnecting");
  answerWith(() => Promise.resolve({ ok: false, status: 404 }));
  newest().onclose();
  await settled();
  assert.equal(follower.state, "asking");
});
