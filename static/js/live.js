// What the logs say reaches the page: fragments are refetched by htmx when one of these events comes by on <body>.
import { Follower } from "./follow.js";
import { throttled } from "./dom.js";
import { tell } from "./parts.js";
import { span } from "./times.js";

const EVERY = { // ms between two of a kind: a burst of events is one refetch
  "round-changed": 350, "session-changed": 1000, "log-changed": 1000, "progress-reported": 1000,
  "overview-changed": 1000, "alerts-changed": 1000, "server-changed": 1000, "sessions-changed": 1500, "clients-changed": 1000,
};
const ASLEEP = 30_000; // ms in which the page did not run: its connections may have died without a word
const say = Object.fromEntries(Object.entries(EVERY).map(([name, ms]) => [name, throttled(ms, () => tell(name))]));

const CHANGES = {
  metrics: ["progress-reported"],
  seat: ["round-changed", "log-changed", "overview-changed", "clients-changed"],
  update: ["round-changed", "log-changed", "overview-changed", "clients-changed"],
  round: ["round-changed", "session-changed", "log-changed", "overview-changed", "sessions-changed", "clients-changed"],
  model: ["round-changed", "session-changed", "log-changed", "overview-changed", "sessions-changed"],
  session: ["round-changed", "session-changed", "log-changed", "overview-changed", "sessions-changed", "clients-changed"],
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
      for (const { kind, payload } of events) if (kind === "session.deleted") forget(`/ws/sessions/${payload.session?.id}/`);
      if (!followers.has(url)) return;
      for (const listener of listeners) listener(events, url);
      const changed = new Set(events.flatMap((event) => CHANGES[event.kind.split(".")[0]] ?? []));
      for (const name of changed) say[name]();
    },
    onState: ({ state }) => { missed = missed || (state !== "live" && state !== "connecting"); show(); },
  }));
}

/** A log that is no more is followed no more. A page about what it told of stays as it is, and says so. */
function forget(url) {
  const isOurs = [...logs].some(({ content }) => content === url);
  for (const one of isOurs ? [...followers.keys()] : [url]) {
    followers.get(one)?.leave();
    followers.delete(one);
  }
  if (!isOurs) return;
  document.querySelector("[data-gone]").hidden = false;
  for (const node of document.querySelectorAll("[data-conn]")) node.hidden = true;
}

/** Where a follower stands; undefined for a log that is not followed. */
export const seen = (url) => followers.get(url)?.seen;

// ---- the state of the connection, always in sight

let current = "connecting";
let missed = false; // a connection was lost: fragments that were asked for meanwhile did not come
const LOOKS = { live: ["live", "Live"], connecting: ["refresh", "Connecting"], catching: ["refresh", "Catching up"], reconnecting: ["refresh", "Reconnecting"] };
const WORST = ["reconnecting", "catching", "connecting", "live"];

function show() {
  const all = [...followers.values()], state = WORST.find((one) => all.some((f) => f.state === one)) ?? "live";
  const behind = all.filter((f) => f.state === "reconnecting" || f.state === "catching");
  current = state;
  const age = behind.length ? (Date.now() - Math.min(...behind.map((f) => f.heard))) / 1000 : 0;
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
    if (behind.length) banner.querySelector("[data-stale-text]").textContent = `You see data from ${span(age)} ago. ${next(state, behind)}; nothing is lost.`;
  }
  if (state === "live" && missed) {
    missed = false;
    for (const name of Object.keys(EVERY)) say[name]();
  }
  const away = behind.find((f) => f.failed >= 3 && f.failed % 3 === 0 && !f.asked);
  if (away) askWhetherSignedIn(away);
}

function next(state, behind) {
  if (state === "catching") return "Catching up";
  const wait = Math.ceil((Math.min(...behind.filter((f) => f.state === state).map((f) => f.retryAt)) - Date.now()) / 1000);
  return wait > 0 ? `Trying again in ${wait} s` : "Trying again";
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
  const renew = () => followers.forEach((f) => f.renew()), probe = () => followers.forEach((f) => f.probe());
  document.querySelector("[data-retry]")?.addEventListener("click", renew);
  addEventListener("online", renew);
  addEventListener("offline", probe); // a server on the same machine is still there
  addEventListener("pagehide", () => followers.forEach((f) => f.leave())); // a page that is open elsewhere is not kept for going back
  addEventListener("pageshow", (event) => { if (event.persisted) renew(); });
  document.addEventListener("resume", renew);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) probe(); });
  let looked = Date.now();
  setInterval(() => {
    const gap = Date.now() - looked;
    looked += gap;
    // The machine slept. A tab in the background is woken once a minute only, and its connection lives.
    if (gap > ASLEEP) { if (document.hidden) probe(); else renew(); }
    show();
  }, 1000);
} else {
  for (const node of document.querySelectorAll("[data-conn]")) node.hidden = true;
}

