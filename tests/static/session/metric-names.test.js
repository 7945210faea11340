import assert from "node:assert/strict";
import { test } from "node:test";
import { kept } from "../../../static/js/session/fragments.js";
import { chosen, grouped, matching, measureOf, sorted, titleOf } from "../../../static/js/session/metric-names.js";

test("metrics that are known come first, the others by name", () => {
  const names = ["zeta", "val_accuracy", "alpha", "train_loss"];
  assert.deepEqual(sorted(names), ["train_loss", "val_accuracy", "alpha", "zeta"]);
});

test("metrics are grouped by what stands before their first / or _", () => {
  const groups = [...grouped(["val_loss", "f1/macro", "val_f1", "f1/micro"])];
  assert.deepEqual(groups, [
    ["val", ["val_loss", "val_f1"]],
    ["f1", ["f1/macro", "f1/micro"]],
  ]);
});

test("a metric is of the measure that follows what it was measured on", () => {
  assert.deepEqual(["val_f1", "base_val_f1", "train_loss", "f1", "val_"].map(measureOf), [
    "f1",
    "f1",
    "loss",
    "f1",
    "val_",
  ]);
});

test("a search finds words of names and of titles", () => {
  assert.deepEqual(matching(["val_f1", "train_loss", "f1"], " VALID f1"), ["val_f1"]);
  assert.deepEqual(matching(["val_f1", "f1"], ""), ["val_f1", "f1"]);
});

test("a metric without a title has its name", () => {
  assert.equal(titleOf("val_loss"), "Validation loss");
  assert.equal(titleOf("constructor"), "constructor");
});

test("a measure that has a title is called by it, whatever it was measured on", () => {
  const phrases = new Map([
    ["dice", "Dice score"],
    ["p10", "tenth percentile"],
  ]);
  const titles = ["val_dice", "base_val_p10", "p10", "val_f1"].map((metric) => titleOf(metric, phrases));
  assert.deepEqual(titles, [
    "Validation Dice score",
    "Received model's tenth percentile",
    "Tenth percentile",
    "Validation f1",
  ]);
  assert.deepEqual(matching(["val_p10", "val_dice"], "percentile", phrases), ["val_p10"]);
});

test("the wanted metric is shown where it was reported", () => {
  assert.equal(chosen(["train_loss", "f1"], "f1", null), "f1");
  assert.equal(chosen(["train_loss"], "f1", null), "train_loss");
  assert.equal(chosen(["train_loss", "f1"], null, "f1"), "f1");
  assert.equal(chosen([], null, null), "");
});

test("an address keeps what a part names, and loses what the part has not", () => {
  const address = "https://example.test/sessions/1/?x=time&show=people&find=bob";
  assert.equal(kept(address, ["show", "find"], "show=problems").search, "?x=time&show=problems");
});
