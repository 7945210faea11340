import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Loading } from "../../../static/js/session/loading.js";
import { pointsOf, report } from "../report.js";

const CLIENTS = [{ id: 1, name: "ada", ordinal: 1 }];

let answers;
let asked;
beforeEach(() => {
  answers = [];
  asked = [];
  globalThis.fetch = async (url) => {
    asked.push(String(url));
    const data = answers.shift();
    return { ok: data !== undefined, status: data ? 200 : 503, json: async () => data };
  };
});

const loaded = (more = {}) => ({ start: 0, seq: 10, names: [], attempts: [], clients: CLIENTS, seats: [], ...more });

/** What loads points for curves that nobody draws. `drawn` has what was drawn. */
function loadingOf({ zoom = null } = {}) {
  const points = pointsOf();
  const curves = { points, metric: "loss", x: "round", weight: 0, epochs: 1, only: new Set(), zoom, detail: null };
  Object.assign(curves, { laid: "", draw: async () => {} });
  Object.defineProperty(curves, "source", { get: () => curves.detail?.points ?? points });
  const drawn = [];
  const picture = {
    drawAnew: async () => drawn.push("anew"),
    append: (added) => drawn.push(added.length),
    show: () => {},
  };
  return { loading: new Loading(curves, "/points/", picture), points, curves, drawn };
}

const reported = (seq, more = {}) => ({ seq, kind: "metrics.reported", payload: report({ values: [1], ...more }) });

/** Let everything that waits for nothing else happen. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("events that come before the points are taken in afterwards, and those in the points are not", async () => {
  const { loading, points, drawn } = loadingOf();
  answers.push(loaded({ seq: 10 }));
  loading.hear([reported(10, { step: 1 }), reported(11, { step: 2 })]);
  await loading.load();
  await settled();
  assert.equal(asked.length, 1);
  assert.deepEqual({ ...points.counts("loss") }, {}, "a burst is taken in once");
  loading.takeIn();
  assert.deepEqual({ ...points.counts("loss") }, { ada: 1 });
  assert.deepEqual(drawn, ["anew", 1]);
});

test("the server is asked until it answers", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { loading } = loadingOf();
  const whole = loading.load();
  await settled();
  answers.push(loaded());
  context.mock.timers.tick(500);
  await whole;
  assert.equal(asked.length, 2);
  assert.equal(loading.isLoaded, true);
});

test("a client that is not known, or a round that opened again, is asked for", async () => {
  for (const event of [reported(12, { client: 7 }), { seq: 12, kind: "round.reopened", payload: {} }]) {
    const { loading } = loadingOf();
    asked = [];
    answers.push(loaded(), loaded({ seq: 12 }));
    await loading.load();
    loading.waiting.push(event);
    loading.takeIn();
    await settled();
    assert.equal(asked.length, 2, event.kind);
  }
});

test("what a person zoomed into is fetched where points were left out, once", async () => {
  const { loading, curves } = loadingOf({ zoom: [0, 1, 0, 1] });
  answers.push(loaded({ thinned: true }), loaded({ seq: 11 }));
  await loading.load();
  await settled();
  assert.equal(asked.length, 2);
  assert.match(asked[1], /from=0&to=1$/);
  assert.equal(curves.detail.points.seq, 11);
  await loading.lookCloser();
  assert.equal(asked.length, 2);
});

test("an event that the detail has is new to the overview alone", async () => {
  const { loading, points, curves } = loadingOf({ zoom: [0, 1, 0, 1] });
  answers.push(loaded({ thinned: true }), loaded({ seq: 11 }));
  await loading.load();
  await settled();
  loading.waiting.push(reported(11), reported(12, { step: 2 }));
  loading.takeIn();
  assert.deepEqual({ ...points.counts("loss") }, { ada: 2 });
  assert.deepEqual({ ...curves.detail.points.counts("loss") }, { ada: 1 });
});
