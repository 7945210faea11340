import assert from "node:assert/strict";
import { test } from "node:test";
import { isolatedIn, smoothingIn, withView, zoomIn } from "../../../static/js/session/view.js";

const PAGE = "https://example.test/sessions/1/";
const USUAL = { metric: "train_loss", x: "round", y: "linear", smooth: "0.6", only: [], zoom: null, all: false };

const query = (view) => withView(`${PAGE}?model=3`, { ...USUAL, ...view }, { smooth: "0.6" }).searchParams;

test("a view as usual leaves nothing in the address, and what is of other parts stays", () => {
  assert.equal(String(query({})), "model=3");
});

test("what a person chose is in the address", () => {
  const chosen = query({ metric: "val_loss", x: "time", y: "log", smooth: "0.9", all: true });
  assert.equal(String(chosen), "model=3&metric=val_loss&x=time&y=log&smooth=0.9&spikes=all");
});

test("any name of a client comes back from the address", () => {
  const only = ["a,b", "100 %", "é", "%2C"];
  assert.deepEqual([...isolatedIn(query({ only }))], only);
  assert.equal(isolatedIn(query({})).size, 0);
});

test("a zoom comes back to five places, and what is none is ignored", () => {
  assert.deepEqual(zoomIn(query({ zoom: [1.23456789, 2, 0.000123456, 4] })), [1.2346, 2, 0.00012346, 4]);
  for (const zoom of ["1,2,3", "1,2,3,x", ""]) assert.equal(zoomIn(new URLSearchParams({ zoom })), null);
});

test("a smoothing that is none is ignored", () => {
  assert.equal(smoothingIn(query({ smooth: "0.9" })), "0.9");
  for (const smooth of ["1", "-0.1", "much"]) assert.equal(smoothingIn(new URLSearchParams({ smooth })), null);
  assert.equal(smoothingIn(query({})), null);
});
