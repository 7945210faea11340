import assert from "node:assert/strict";
import { test } from "node:test";
import { clock, now, rough, setNow, span } from "../../static/js/times.js";

test("a span is in the two largest units", () => {
  const spans = [
    [-3, "0 s"],
    [0.4, "0 s"],
    [59.6, "1 min"],
    [61, "1 min 1 s"],
    [3599, "59 min 59 s"],
    [3600, "1 h 0 min"],
    [90_000, "25 h 0 min"],
  ];
  for (const [seconds, text] of spans) assert.equal(span(seconds), text);
});

test("a rough span has no seconds from two minutes on, and no hours from two days on", () => {
  assert.equal(rough(119), "1 min 59 s");
  assert.equal(rough(151), "3 min");
  assert.equal(rough(172_799), "48 h 0 min");
  assert.equal(rough(172_800), "2 days");
});

test("a clock shows hours only where there are some, and never less than nothing", () => {
  assert.equal(clock(-1), "0:00");
  assert.equal(clock(192.9), "3:12");
  assert.equal(clock(3792), "1:03:12");
});

test("the server's clock counts", (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-01-01T12:00:00Z") });
  setNow("2026-01-01T11:58:30Z");
  assert.equal(now(), Date.parse("2026-01-01T11:58:30Z"));
  context.mock.timers.tick(5000);
  assert.equal(now(), Date.parse("2026-01-01T11:58:35Z"));
  setNow("no time");
  assert.equal(now(), Date.parse("2026-01-01T11:58:35Z"), "what is no time changes nothing");
});
