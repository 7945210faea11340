// What the logs say reaches the page: fragments are refetched by htmx when one of these events comes by on <body>.
import { Follower } from "./follow.js";
import { throttled } from "./dom.js";
import { span } from "./times.js";

const EVERY = { // ms between two of a kind: a burst of events is one refetch
  "round-changed": 350, "session-changed": 1000, "log-changed": 1000, "progress-reported": 1000,
  "overview-changed": 1000, "alerts-changed": 1000, "server-changed": 1000, "sessions-changed": 1500, "clients-changed": 1000,
};
const say = Object.fromEntries(Object.entries(EVERY).map(([name, ms]) => [name, throttled(ms, () => document.body.dispatchEvent(new CustomEvent(name)))]));

const CHANGES = {
  metrics: ["progress-reported"],
  seat: ["round-changed", "log-changed", "overview-changed", "clients-changed"],
  update: ["round-changed", "log-changed", "overview-changed", "clients-changed"],
  round: ["round-changed", "session-changed", "log-changed", "overview-changed", "sessions-changed", "clients-changed"],
  model: ["round-changed", "session-changed", "log-changed", "overview-changed", "sessions-changed"],
  session: ["round-changed", "session-changed", "log-changed", "overview-changed", "sessions-changed"],
  client: ["round-changed", "overview-changed", "clients-changed"],
  alert: ["alerts-changed", "overview-changed"],
  rule: ["alerts-changed"],
  invitation: ["clients-changed"],
  worker: ["round-changed", "overview-changed", "server-changed"],
  storage: ["round-changed", "overview-changed", "server-changed"],
};

const followers = new Map(); // url -> Follower
const listeners = new Set();

/** Be told of every new event: listener(events, url). */
export function onEvents(listener) { listeners.add(listener); }

export function follow(url, after) {
  if (followers.has(url)) return;
  followers.set(url, new Follower(url, after, {
    onEvents(events) {
      for (const listener of listeners) listener(events, url);
      const changed = new Set(events.flatMap((event) => CHANGES[event.kind.split(".")[0]] ?? []));
      for (const name of changed) say[name]();
    },
    onState: (follower) => { if (follower.state !== "live") missed = missed || follower.failed > 0; show(); },
  }));
}

/** Where a follower stands; undefined for a log that is not followed. */
export const seen = (url) => followers.get(url)?.seen;

// ---- the state of the connection, always in sight

let current = "connecting";
let missed = false; // a connection was lost: fragments that were asked for meanwhile did not come
const LOOKS = { live: ["live", "Live"], connecting: ["refresh", "Connecting"], reconnecting: ["refresh", "Reconnecting"] };

function show() {
  const all = [...followers.values()], lost = all.filter((f) => f.state === "reconnecting"), connecting = all.some((f) => f.state === "connecting");
  const state = lost.length ? "reconnecting" : connecting ? "connecting" : "live";
  current = state;
  const age = lost.length ? (Date.now() - Math.min(...lost.map((f) => f.since))) / 1000 : 0;
  for (const node of document.querySelectorAll("[data-conn]")) {
    const [name, word] = LOOKS[state], text = age >= 1 ? `Data ${span(age)} old` : word;
    if (node.dataset.state !== state) node.querySelector("use").setAttribute("href", `${document.body.dataset.icons}#${name}`);
    node.dataset.state = state;
    const shown = node.querySelector(".conn__text");
    if (shown.textContent !== text) shown.textContent = text;
  }
  const banner = document.querySelector("[data-stale]");
  if (banner) {
    banner.hidden = age < 2;
    const wait = Math.max(0, Math.ceil((Math.min(...lost.map((f) => f.retryAt)) - Date.now()) / 1000));
    if (lost.length) banner.querySelector("[data-stale-text]").textContent = `You see data from ${span(age)} ago. ${wait ? `Trying again in ${wait} s` : "Trying again"}; nothing is lost.`;
  }
  if (state === "live" && missed) {
    missed = false;
    for (const name of Object.keys(EVERY)) say[name]();
  }
  if (lost.some((f) => f.failed >= 3 && f.failed % 3 === 0 && !f.asked)) askWhetherSignedIn(lost[0]);
}

/** A socket that never opens may mean that one was signed out elsewhere: then the page says so itself. */
async function askWhetherSignedIn(follower) {
  follower.asked = true;
  setTimeout(() => { follower.asked = false; }, 20_000);
  try {
    const answer = await fetch(document.body.dataset.find, { redirect: "manual" });
    if (answer.type === "opaqueredirect") location.reload();
  } catch { /* the server is away */ }
}

function followMarked(root) {
  for (const node of root.querySelectorAll("[data-follow]")) {
    for (const pair of node.dataset.follow.split(" ").filter(Boolean)) {
      const [id, seq] = pair.split(":");
      follow(`/ws/sessions/${id}/`, Number(seq));
    }
  }
}

const logs = document.querySelectorAll("meta[name=follow]");
for (const { content, dataset } of logs) follow(content, Number(dataset.after));
if (logs.length) {
  followMarked(document);
  document.addEventListener("htmx:afterSwap", () => followMarked(document));
  document.addEventListener("htmx:beforeRequest", (event) => { // everything is fetched anyway once the server is back
    if (current === "reconnecting" && event.detail.requestConfig.triggeringEvent?.type in EVERY) event.preventDefault();
  });
  document.querySelector("[data-retry]")?.addEventListener("click", () => followers.forEach((f) => f.retry()));
  addEventListener("online", () => followers.forEach((f) => f.retry()));
  setInterval(show, 1000);
} else {
  for (const node of document.querySelectorAll("[data-conn]")) node.hidden = true;
}

