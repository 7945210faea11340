import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { makePage, Part, Request } from "./page.js";

const { document, page } = makePage();
const { announce } = await import("../../static/js/which-answer-wins.js");

let part;
let heard;
document.body.addEventListener("round-changed", () => heard.push("round-changed"));

beforeEach(() => {
  part = new Part("now");
  heard = [];
});

/** htmx asks: for a part itself, or because somebody pressed `by` in it. Null if it was stopped. */
function ask({ by = part, target = part, verb = "get", on = "round-changed" } = {}) {
  const xhr = new Request();
  const requestConfig = { verb, triggeringEvent: new Event(on) };
  const detail = { elt: by, target, xhr, requestConfig };
  const before = new CustomEvent("htmx:beforeRequest", { detail, cancelable: true });
  if (!document.dispatchEvent(before)) return null;
  document.dispatchEvent(new CustomEvent("htmx:beforeSend", { detail }));
  return { ...detail, asked: target };
}

/** The answer comes. True if it fills the part. */
function answer(request, { target = request.asked } = {}) {
  const detail = { ...request, target };
  const isShown = request.asked.dispatchEvent(new CustomEvent("htmx:beforeSwap", { detail, cancelable: true }));
  request.xhr.end();
  return isShown;
}

const press = (more = {}) => ask({ by: new Part("button"), verb: "post", on: "click", ...more });

test("a refresh fills its part", () => {
  assert.equal(answer(ask()), true);
});

test("a press wins over a refresh that was asked for before, whichever answer comes first", () => {
  for (const order of ["refresh first", "press first"]) {
    const refresh = ask();
    const pressed = press();
    const answers = order === "refresh first" ? [refresh, pressed] : [pressed, refresh];
    assert.deepEqual(
      answers.map((request) => answer(request)),
      answers.map((request) => request === pressed),
      order,
    );
  }
});

test("a refresh that lost is asked for again when nothing is on its way", () => {
  const refresh = ask();
  const pressed = press();
  answer(refresh);
  assert.deepEqual(heard, [], "the press is on its way");
  answer(pressed);
  assert.deepEqual(heard, ["round-changed"]);
});

test("the last of two presses for a part wins", () => {
  const earlier = press();
  const later = press();
  assert.equal(answer(later), true);
  assert.equal(answer(earlier), false);
});

test("a press for another part wins beside it", () => {
  const other = new Part("dialog-body");
  const here = press();
  const there = press({ target: other });
  assert.equal(answer(here), true);
  assert.equal(answer(there), true);
});

test("a press whose answer fills another part loses to a later press for that part", () => {
  const dialog = new Part("dialog-body");
  const early = press();
  const late = press({ target: dialog });
  const event = new CustomEvent("htmx:beforeSwap", { detail: { ...early, target: dialog }, cancelable: true });
  assert.equal(part.dispatchEvent(event), false);
  early.xhr.end();
  assert.equal(answer(late), true);
});

test("an answer for a part that is gone fills nothing", () => {
  const refresh = ask();
  part.isConnected = false;
  assert.equal(answer(refresh), false);
});

test("what changed meanwhile is announced when nothing is on its way", () => {
  const pressed = press();
  announce("round-changed");
  announce("round-changed");
  assert.deepEqual(heard, []);
  answer(pressed);
  assert.deepEqual(heard, ["round-changed"]);
});

test("a page that is being left asks for nothing more, until a person comes back to it", () => {
  const pressed = press();
  pressed.xhr.redirect = "/sessions/2/";
  pressed.xhr.end();
  announce("round-changed");
  assert.equal(ask(), null);
  assert.deepEqual(heard, []);
  page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  answer(ask());
  assert.deepEqual(heard, ["round-changed"]);
});
