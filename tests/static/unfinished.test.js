import assert from "node:assert/strict";
import { test } from "node:test";
import { forget, isOf, recalled, remember } from "../../static/js/unfinished.js";

const file = { name: "mine.pt", size: 10, lastModified: 5 };

/** A tab's memory. */
class Memory extends Map {
  getItem(key) {
    return this.get(key) ?? null;
  }

  setItem(key, value) {
    this.set(key, value);
  }

  removeItem(key) {
    this.delete(key);
  }
}

test("an upload is known until it is forgotten", () => {
  const memory = new Memory();
  assert.equal(recalled(memory), null);
  remember(memory, "/api/v1/models/uploads/7", file);
  assert.deepEqual(recalled(memory), { location: "/api/v1/models/uploads/7", ...file });
  forget(memory);
  assert.equal(recalled(memory), null);
});

test("only the same file goes on", () => {
  const unfinished = { location: "/7", ...file };
  assert.ok(isOf(unfinished, file));
  assert.ok(!isOf(null, file));
  for (const other of [{ name: "yours.pt" }, { size: 11 }, { lastModified: 6 }]) {
    assert.ok(!isOf(unfinished, { ...file, ...other }));
  }
});

test("what nobody of us wrote is no upload, and a browser that keeps nothing stops nothing", () => {
  const memory = new Memory();
  for (const odd of ["{", "7", "null", '{"size": 3}', '{"location": 7, "size": 3}', '{"location": "//x", "size": 0}']) {
    memory.setItem("unfinished-upload", odd);
    assert.equal(recalled(memory), null, odd);
  }
  const closed = {
    getItem() {
      throw new Error("denied");
    },
  };
  assert.equal(recalled(closed), null);
  remember(closed, "/7", file);
  forget(closed);
});
