import assert from "node:assert/strict";
import { test } from "node:test";
import { changed, EVERY } from "../../static/js/changes.js";
import { worst } from "../../static/js/connection.js";

test("an event announces the parts that it concerns, each once", () => {
  const names = changed([{ kind: "update.received" }, { kind: "seat.dropped" }, { kind: "metrics.reported" }]);
  const expected = ["round-changed", "log-changed", "overview-changed", "clients-changed", "progress-reported"];
  assert.deepEqual([...names], expected);
});

test("an event that concerns no part announces none", () => {
  assert.equal(changed([{ kind: "weather.changed" }]).size, 0);
});

test("every name that is announced has its own pace", () => {
  const kinds = ["metrics", "seat", "update", "round", "model", "session", "client", "alert", "rule", "worker"];
  for (const name of changed(kinds.map((kind) => ({ kind: `${kind}.changed` })))) assert.ok(EVERY.has(name), name);
});

test("the worst of several connections is shown", () => {
  const of = (...states) => worst(states.map((state) => ({ state })));
  assert.equal(of("live", "reconnecting", "catching"), "reconnecting");
  assert.equal(of("live", "connecting"), "connecting");
  assert.equal(of("live", "asking"), "asking");
  assert.equal(of("live"), "live");
  assert.equal(of(), "live");
});
