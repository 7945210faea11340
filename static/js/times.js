// Times in the viewer's zone, and durations that stay true between two events. The server's clock counts, not the viewer's.
let ahead = 0; // how much the viewer's clock is ahead of the server's, in ms

export const now = () => Date.now() - ahead;
export function setNow(text) {
  const server = Date.parse(text);
  if (Number.isFinite(server)) ahead = Date.now() - server;
}

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds)), m = Math.floor(s / 60);
  if (m >= 60) return `${Math.floor(m / 60)} h ${m % 60} min`;
  return m ? `${m} min${s % 60 ? ` ${s % 60} s` : ""}` : `${s} s`;
}
const rough = (seconds) => (seconds >= 172_800 ? `${Math.round(seconds / 86_400)} days` : span(seconds >= 120 ? Math.round(seconds / 60) * 60 : seconds));
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, "0");
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const SHORT = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "medium" });

const SAY = {
  clock: (at) => CLOCK.format(at),
  date: (at) => (new Date(now()).toDateString() === at.toDateString() ? CLOCK.format(at).slice(0, 5) : SHORT.format(at)),
  ago: (at) => `${rough((now() - at) / 1000)} ago`,
  since: (at) => span((now() - at) / 1000),
  left: (at) => span((at - now()) / 1000),
};

function write(node) {
  const at = new Date(node.dateTime), text = SAY[node.dataset.time]?.(at);
  if (text && node.textContent !== text) node.textContent = text;
  if (!node.title) node.title = WHOLE.format(at);
}

/** Write every time under a node. Called for the page, and for each fragment before it is painted. */
export function localise(root) {
  for (const node of root.querySelectorAll("time[data-time]")) write(node);
  tick(root);
}

function tick(root) {
  for (const node of root.querySelectorAll("[data-countdown]")) {
    const left = (Date.parse(node.dataset.countdown) - now()) / 1000;
    node.textContent = clock(left);
    node.classList.toggle("is-near", left < Number(node.dataset.near));
  }
  for (const node of root.querySelectorAll("[data-fill-from]")) {
    const from = Date.parse(node.dataset.fillFrom), to = Date.parse(node.dataset.fillTo);
    node.setAttribute("width", `${Math.min(100, Math.max(0, (100 * (now() - from)) / (to - from)))}%`);
    node.parentElement.classList.toggle("is-near", (to - now()) / 1000 < Number(node.dataset.near));
  }
  for (const node of root.querySelectorAll("[data-lanes-from]")) move(node);
}

const ROOM = { start: [0.04, 0.2], middle: [0.13, 0.13], end: [0.2, 0.04] }; // that the label of now takes, as in dashboard/lanes.py
/** The lanes' present: what grows reaches to it. */
function move(lanes) {
  const seconds = (now() - Date.parse(lanes.dataset.lanesFrom)) / 1000, at = Math.min(1, seconds / Number(lanes.dataset.lanesScale));
  for (const line of lanes.querySelectorAll(".l-now")) { line.setAttribute("x1", `${100 * at}%`); line.setAttribute("x2", `${100 * at}%`); }
  for (const rect of lanes.querySelectorAll("[data-grows]")) rect.setAttribute("width", `${100 * Math.max(0, at - Number(rect.dataset.grows))}%`);
  const mark = lanes.querySelector(".t-now"), [before, after] = ROOM[mark?.getAttribute("text-anchor")] ?? ROOM.middle;
  mark?.setAttribute("x", `${100 * at}%`);
  const text = lanes.querySelector("[data-lanes-clock]");
  if (text) text.textContent = clock(seconds);
  for (const tick of lanes.querySelectorAll("[data-tick]")) tick.toggleAttribute("hidden", Number(tick.dataset.tick) > at - before && Number(tick.dataset.tick) < at + after);
  if (at === 1 && !lanes.dataset.full) { // the axis is used up: the server lays out a longer one
    lanes.dataset.full = "1";
    document.body.dispatchEvent(new CustomEvent("round-changed"));
  }
}

export function start() {
  setNow(document.body.dataset.now);
  localise(document);
  setInterval(() => {
    for (const node of document.querySelectorAll('time[data-time="ago"], time[data-time="since"], time[data-time="left"]')) write(node);
    tick(document);
  }, 1000);
}
