import assert from "node:assert/strict";
import { test } from "node:test";

/** The little of an element that a list of buttons needs. */
class Node {
  constructor() {
    this.children = [];
    this.dataset = {};
    this.attributes = {};
    this.parent = null;
  }

  setAttribute(name, value) {
    this.attributes[name] = value;
    if (name.startsWith("data-")) this.dataset[name.slice(5)] = value;
  }

  getAttribute(name) {
    return this.attributes[name];
  }

  toggleAttribute(name, isOn) {
    this.attributes[name] = isOn;
  }

  append(...nodes) {
    for (const node of nodes) if (node instanceof Node) this.insertBefore(node, null);
  }

  insertBefore(node, next) {
    node.remove();
    const at = next ? this.children.indexOf(next) : this.children.length;
    this.children.splice(at, 0, node);
    node.parent = this;
  }

  remove() {
    if (this.parent) this.parent.children.splice(this.parent.children.indexOf(this), 1);
    this.parent = null;
  }

  get firstElementChild() {
    return this.children[0] ?? null;
  }

  get lastElementChild() {
    return this.children.at(-1) ?? null;
  }

  get nextElementSibling() {
    const { children } = this.parent;
    return children[children.indexOf(this) + 1] ?? null;
  }
}

globalThis.document = { createElement: () => new Node(), createElementNS: () => new Node() };
const { Legend } = await import("../../static/js/curve-legend.js");

const clients = (...names) => names.map((name, i) => ({ id: i, name, ordinal: i + 1, rounds: new Map() }));
const names = (box) => box.children.map(({ dataset }) => dataset.name);

test("the list of clients changes where they do, and the other buttons stay", () => {
  const box = new Node();
  const legend = new Legend(box);
  let listed = 0;
  legend.onList = () => {
    listed += 1;
  };
  legend.list(clients("ada", "cyd", "eve"), new Set());
  const [ada, , eve] = box.children;
  legend.list(clients("ada", "ben", "cyd", "dan", "eve", "fay"), new Set(["ben"]));
  assert.deepEqual(names(box), ["ada", "ben", "cyd", "dan", "eve", "fay"]);
  assert.equal(box.children[0], ada);
  assert.equal(box.children[4], eve);
  assert.deepEqual(
    box.children.map((button) => button.getAttribute("aria-pressed")),
    ["false", "true", "false", "false", "false", "false"],
  );
  legend.list(clients("fay", "ada"), new Set());
  assert.deepEqual(names(box), ["fay", "ada"]);
  assert.equal(box.children[1], ada);
  legend.list(clients("fay", "ada"), new Set());
  assert.equal(listed, 3, "a list that is the same is not made again");
});
