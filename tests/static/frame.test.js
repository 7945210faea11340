import assert from "node:assert/strict";
import { test } from "node:test";
import { csv } from "../../static/js/csv.js";
import { filtered, paged } from "../../static/js/filters.js";
import { shortcut } from "../../static/js/keys.js";
import { fitting } from "../../static/js/palette.js";
import { inSight } from "../../static/js/section-nav.js";
import { measured, number } from "../../static/js/wording.js";

const LIST = "https://example.test/models/?q=old&page=3";

test("the address has what a filter says and nothing else", () => {
  const values = [
    ["q", "a&b"],
    ["tag", ""],
  ];
  assert.equal(filtered(LIST, values).search, "?q=a%26b");
});

test("a page of the list that the filter says is kept", () => {
  assert.equal(paged(LIST, [["q", " old "]]), LIST);
});

test("a page of another list is its first", () => {
  assert.equal(paged(LIST, [["q", "new"]]), "https://example.test/models/?q=new");
});

test("G and a letter lead to a page, N alone to the form", () => {
  assert.equal(shortcut("g", "s"), "G S");
  assert.equal(shortcut("g", "w"), "G W");
  assert.equal(shortcut("", "s"), undefined);
  assert.equal(shortcut("", "n"), "N");
  assert.equal(shortcut("g", "n"), undefined);
  assert.equal(shortcut("g", "constructor"), undefined);
});

test("a command fits if every word that was typed is in its name or hint", () => {
  const commands = [
    { name: "New session", icon: "play", hint: "N" },
    { name: "Sessions", icon: "sessions", hint: "G S" },
  ];
  const names = (typed) => fitting(commands, typed).map(({ name }) => name);
  assert.deepEqual(names(" SESS  new "), ["New session"]);
  assert.deepEqual(names("g s"), ["Sessions"]);
  assert.deepEqual(names(""), ["New session", "Sessions"]);
  assert.deepEqual(names("client"), []);
});

test("the section in sight is the last that has begun, and at the end the last", () => {
  assert.equal(inSight([200, 900, 1500], false), 0);
  assert.equal(inSight([-800, 139, 700], false), 1);
  assert.equal(inSight([-800, 139, 700], true), 2);
});

test("no spreadsheet takes a name for a formula, and commas and quotes stay in their cell", () => {
  const rows = [
    ["name", "loss"],
    ["=1+1", -0.5],
    ['a "b", c', 2],
  ];
  assert.equal(csv(rows), 'name,loss\n\'=1+1,-0.5\n"a ""b"", c",2');
});

test("numbers are written as the server writes them", () => {
  assert.equal(number(1234567.4), "1\u202f234\u202f567");
  assert.equal(measured(0.12345), "0.123");
  assert.equal(measured(0.00012), "1.20e-4");
  assert.equal(measured(1234.5), "1235");
  assert.equal(measured(250_000), "2.50e5");
  assert.equal(measured(0), "0.000");
  for (const nothing of [undefined, null, Number.NaN]) assert.equal(measured(nothing), "–");
});
