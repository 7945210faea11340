// The state of the connection, always in sight: a mark at the side, and a banner over data that are old.
import { EVERY_SECONDS } from "./asking.js";
import { all, first, one } from "./dom.js";
import { span } from "./times.js";

/** @typedef {import("./follow.js").Follower} Follower */
/** @typedef {import("./follow.js").State} State */

/** @type {Record<State, [string, string]>} */
const LOOKS = {
  live: ["live", "Live"],
  asking: ["clock", `No live connection: asking every ${EVERY_SECONDS} s`],
  connecting: ["refresh", "Connecting"],
  catching: ["refresh", "Catching up"],
  reconnecting: ["refresh", "Reconnecting"],
};
/** @type {State[]} */
const WORST = ["reconnecting", "catching", "connecting", "asking", "live"];

/**
 * The worst state of some connections.
 * @param {{ state: State }[]} followers
 */
export function worst(followers) {
  return WORST.find((state) => followers.some((follower) => follower.state === state)) ?? "live";
}

/** @param {Follower[]} followers */
export function showConnection(followers) {
  const state = worst(followers);
  const behind = followers.filter((one) => one.state === "reconnecting" || one.state === "catching");
  const age = behind.length ? (Date.now() - Math.min(...behind.map(({ heard }) => heard))) / 1000 : 0;
  for (const node of all("[data-conn]")) mark(node, state, age);
  const banner = first("[data-stale]");
  if (!banner) return;
  banner.hidden = age < 2;
  if (!behind.length) return;
  const text = `You see data from ${span(age)} ago. ${next(state, behind)}; nothing is lost.`;
  one("[data-stale-text]", banner).textContent = text;
}

/**
 * @param {HTMLElement} node
 * @param {State} state
 * @param {number} age of the data, in seconds
 */
function mark(node, state, age) {
  const [name, word] = LOOKS[state];
  const text = age >= 1 ? `Data ${span(age)} old` : word;
  if (node.dataset.state !== state) one("use", node).setAttribute("href", `${document.body.dataset.icons}#${name}`);
  node.dataset.state = state;
  const shown = one(".conn__text", node);
  if (shown.textContent === text) return;
  shown.textContent = text;
  node.title = text; // where there is no room for it
}

/**
 * @param {State} state
 * @param {Follower[]} behind
 */
function next(state, behind) {
  if (state === "catching") return "Catching up";
  const retries = behind.filter((one) => one.state === state).map(({ retryAt }) => retryAt);
  const wait = Math.ceil((Math.min(...retries) - Date.now()) / 1000);
  return wait > 0 ? `Trying again in ${wait} s` : "Trying again";
}

export function hideConnection() {
  for (const node of all("[data-conn]")) node.hidden = true;
}
