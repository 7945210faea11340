// Times in the viewer's zone, and durations that stay true between two events. The server's clock counts.
let ahead = 0; // ms that the viewer's clock is ahead of the server's

export const now = () => Date.now() - ahead;

/** @param {string} text the server's time */
export function setNow(text) {
  const server = Date.parse(text);
  if (Number.isFinite(server)) ahead = Date.now() - server;
}

/**
 * 3 min 12 s.
 * @param {number} seconds
 */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const m = Math.floor(s / 60);
  if (m >= 60) return `${Math.floor(m / 60)} h ${m % 60} min`;
  return m ? `${m} min${s % 60 ? ` ${s % 60} s` : ""}` : `${s} s`;
}

/**
 * A span without what nobody asks for: whole minutes from two on, whole days from two on.
 * @param {number} seconds
 */
export function rough(seconds) {
  if (seconds >= 172_800) return `${Math.round(seconds / 86_400)} days`;
  return span(seconds >= 120 ? Math.round(seconds / 60) * 60 : seconds);
}

/**
 * 3:12, or 1:03:12.
 * @param {number} seconds
 */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(s / 60);
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(minutes % 60)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

/** @param {number} n */
const two = (n) => String(n).padStart(2, "0");

const DIGITS = /** @type {const} */ ({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const CLOCK = new Intl.DateTimeFormat(undefined, { ...DIGITS, second: "2-digit" });
const SHORT = new Intl.DateTimeFormat(undefined, { ...DIGITS, day: "numeric", month: "short" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "medium" });

/** @param {Date} at */
const isToday = (at) => new Date(now()).toDateString() === at.toDateString();

/**
 * What `data-time` names.
 * @type {Map<string | undefined, (at: Date) => string>}
 */
const SAY = new Map([
  ["clock", (at) => CLOCK.format(at)],
  ["date", (at) => (isToday(at) ? CLOCK.format(at).slice(0, 5) : SHORT.format(at))],
  ["ago", (at) => `${rough((now() - at.getTime()) / 1000)} ago`],
  ["since", (at) => span((now() - at.getTime()) / 1000)],
  ["left", (at) => span((at.getTime() - now()) / 1000)],
]);
const MOVING = 'time[data-time="ago"], time[data-time="since"], time[data-time="left"]';

/** @param {HTMLTimeElement} node */
function write(node) {
  const at = new Date(node.dateTime);
  const text = SAY.get(node.dataset.time)?.(at);
  if (text && node.textContent !== text) node.textContent = text;
  if (!node.title) node.title = WHOLE.format(at);
}

/**
 * Write every time under a node. Called for the page, and for each fragment before it is painted.
 * @param {ParentNode} root
 */
export function localise(root) {
  for (const node of times(root, "time[data-time]")) write(node);
  tick(root);
}

/**
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {NodeListOf<HTMLTimeElement>}
 */
const times = (root, selector) => root.querySelectorAll(selector);

/**
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {NodeListOf<HTMLElement>}
 */
const marked = (root, selector) => root.querySelectorAll(selector);

/** @param {ParentNode} root */
function tick(root) {
  for (const node of marked(root, "[data-countdown]")) countDown(node);
  for (const node of marked(root, "[data-fill-from]")) fill(node);
  for (const node of marked(root, "[data-lanes-from]")) move(node);
}

/** @param {HTMLElement} node */
function countDown(node) {
  const left = (Date.parse(node.dataset.countdown ?? "") - now()) / 1000;
  node.textContent = clock(left);
  node.classList.toggle("is-near", left < Number(node.dataset.near));
}

/**
 * A bar that fills while time passes.
 * @param {HTMLElement} node
 */
function fill(node) {
  const from = Date.parse(node.dataset.fillFrom ?? "");
  const to = Date.parse(node.dataset.fillTo ?? "");
  const percent = (100 * (now() - from)) / (to - from);
  node.setAttribute("width", `${Math.min(100, Math.max(0, percent))}%`);
  node.parentElement?.classList.toggle("is-near", (to - now()) / 1000 < Number(node.dataset.near));
}

// Shares of the axis that the label of now takes, as in dashboard/lanes.py.
const ROOM = new Map([
  ["start", [0.04, 0.2]],
  ["middle", [0.13, 0.13]],
  ["end", [0.2, 0.04]],
]);

/**
 * The lanes' present: what grows reaches to it.
 * @param {HTMLElement} lanes
 */
function move(lanes) {
  const seconds = (now() - Date.parse(lanes.dataset.lanesFrom ?? "")) / 1000;
  const at = Math.min(1, seconds / Number(lanes.dataset.lanesScale));
  for (const line of marked(lanes, ".l-now")) for (const end of ["x1", "x2"]) line.setAttribute(end, `${100 * at}%`);
  for (const rect of marked(lanes, "[data-grows]")) {
    rect.setAttribute("width", `${100 * Math.max(0, at - Number(rect.dataset.grows))}%`);
  }
  moveLabel(lanes, at);
  const text = lanes.querySelector("[data-lanes-clock]");
  if (text) text.textContent = clock(seconds);
  if (at === 1 && !lanes.dataset.full) {
    lanes.dataset.full = "1"; // the axis is used up: the server lays out a longer one
    document.body.dispatchEvent(new CustomEvent("round-changed"));
  }
}

/**
 * The label of now, and the axis without the numbers that it covers.
 * @param {HTMLElement} lanes
 * @param {number} at
 */
function moveLabel(lanes, at) {
  const label = lanes.querySelector(".t-now");
  label?.setAttribute("x", `${100 * at}%`);
  const [before, after] = ROOM.get(label?.getAttribute("text-anchor") ?? "") ?? [0.13, 0.13];
  for (const node of marked(lanes, "[data-tick]")) {
    const place = Number(node.dataset.tick);
    node.toggleAttribute("hidden", place > at - before && place < at + after);
  }
}

export function startTimes() {
  setNow(document.body.dataset.now ?? "");
  localise(document);
  setInterval(() => {
    for (const node of times(document, MOVING)) write(node);
    tick(document);
  }, 1000);
}
