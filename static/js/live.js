// What the logs say reaches the page: parts are fetched anew, and whoever listens hears of every event.
import { changed, EVERY } from "./changes.js";
import { hideConnection, showConnection, worst } from "./connection.js";
import { all, first, one } from "./dom.js";
import { Follower } from "./follow.js";
import { throttled } from "./throttled.js";
import { announce } from "./which-answer-wins.js";

/** @typedef {import("./follow.js").LogEvent} LogEvent */
/** @typedef {(events: LogEvent[], url: string) => void} Listener */

const ASLEEP = 30_000; // ms in which the page did not run: its connections may have died silently
const SIGNED_IN = 20_000; // ms between two looks whether the person is signed in
const say = new Map([...EVERY].map(([name, ms]) => [name, throttled(ms, () => announce(name))]));

/** @type {Map<string, Follower>} */
const followers = new Map(); // by their url
/** @type {Set<Listener>} */
const listeners = new Set();

/**
 * Call a listener for all new events.
 * @param {Listener} listener
 */
export function onEvents(listener) {
  listeners.add(listener);
}

/**
 * The number of the last event of a log; undefined for a log that is not followed.
 * @param {string} url
 */
export const seen = (url) => followers.get(url)?.seen;

/**
 * @param {string} url
 * @param {number} after
 */
export function follow(url, after) {
  if (followers.has(url)) return;
  const handlers = {
    onEvents: (/** @type {LogEvent[]} */ events) => hear(events, url),
    onState: (/** @type {Follower} */ { state }) => {
      missed ||= isAway(state);
      show();
    },
  };
  followers.set(url, new Follower(url, after, handlers));
}

/**
 * @param {LogEvent[]} events
 * @param {string} url
 */
function hear(events, url) {
  for (const { kind, payload } of events) {
    if (kind === "session.deleted") forget(`/ws/sessions/${payload.session?.id}/`);
  }
  if (!followers.has(url)) return;
  for (const listener of listeners) listener(events, url);
  for (const name of changed(events)) say.get(name)?.();
}

/**
 * A log that is no more is followed no more. The page about it stays as it is, and says so.
 * @param {string} url
 */
function forget(url) {
  const isOurs = logs.some(({ content }) => content === url);
  for (const gone of isOurs ? [...followers.keys()] : [url]) {
    followers.get(gone)?.leave();
    followers.delete(gone);
  }
  if (!isOurs) return;
  one("[data-gone]").hidden = false;
  hideConnection();
}

/** @type {import("./follow.js").State} */
let current = "connecting";
let missed = false; // a connection was lost: parts that were asked for meanwhile did not come

function show() {
  const every = [...followers.values()];
  current = worst(every);
  showConnection(every);
  if ((current === "live" || current === "asking") && missed) {
    missed = false;
    for (const act of say.values()) act();
  }
  const away = every.find(({ state, failed, checked }) => isAway(state) && failed >= 3 && failed % 3 === 0 && !checked);
  if (away) checkSignedIn(away);
}

/** @param {import("./follow.js").State} state */
const isAway = (state) => state === "reconnecting" || state === "catching";

/**
 * A socket that never opens may mean that one was signed out elsewhere: then the page says so itself.
 * @param {Follower} follower
 */
async function checkSignedIn(follower) {
  follower.checked = true;
  setTimeout(() => {
    follower.checked = false;
  }, SIGNED_IN);
  try {
    const answer = await fetch(document.body.dataset.find ?? "", { redirect: "manual" });
    if (answer.type === "opaqueredirect") location.reload();
  } catch {
    // The server is away.
  }
}

/** @param {ParentNode} root */
function followMarked(root) {
  for (const node of all("[data-follow]", root)) {
    for (const pair of (node.dataset.follow ?? "").split(" ").filter(Boolean)) {
      const [id, seq] = pair.split(":");
      follow(`/ws/sessions/${id}/`, Number(seq));
    }
  }
}

function keepConnected() {
  const renew = () => {
    for (const follower of followers.values()) follower.renew();
  };
  const probe = () => {
    for (const follower of followers.values()) follower.probe();
  };
  first("[data-retry]")?.addEventListener("click", renew);
  addEventListener("online", renew);
  addEventListener("offline", probe); // a server on the same machine is still there
  addEventListener("pagehide", () => {
    for (const follower of followers.values()) follower.leave(); // or the page is not kept for going back
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) renew();
  });
  document.addEventListener("resume", renew);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) probe();
  });
  let looked = Date.now();
  setInterval(() => {
    const gap = Date.now() - looked;
    looked += gap;
    // The machine slept. A tab in the background is woken once a minute only, and its connection lives.
    if (gap > ASLEEP && document.hidden) probe();
    else if (gap > ASLEEP) renew();
    show();
  }, 1000);
}

const logs = /** @type {HTMLMetaElement[]} */ (all("meta[name=follow]"));

function start() {
  for (const { content, dataset } of logs) follow(content, Number(dataset.after));
  followMarked(document);
  document.addEventListener("htmx:afterSwap", () => followMarked(document));
  document.addEventListener("htmx:beforeRequest", (event) => {
    const trigger = event.detail.requestConfig.triggeringEvent?.type;
    // Everything is fetched anyway once the server is back.
    if (current === "reconnecting" && trigger && EVERY.has(trigger)) event.preventDefault();
  });
  keepConnected();
}

// Not before htmx and the page's own scripts are there, which may take a second: nobody would hear the first events.
if (logs.length) document.addEventListener("DOMContentLoaded", start);
else hideConnection();
