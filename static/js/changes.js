// Which parts of a page an event concerns. They are fetched anew by htmx when one of these names is announced.

/** Ms between two announcements of a name: a burst of events is one fetch. */
export const EVERY = new Map([
  ["round-changed", 350],
  ["session-changed", 1000],
  ["log-changed", 1000],
  ["progress-reported", 1000],
  ["overview-changed", 1000],
  ["alerts-changed", 1000],
  ["server-changed", 1000],
  ["sessions-changed", 1500],
  ["clients-changed", 1000],
]);

const AT_WORK = ["round-changed", "log-changed", "overview-changed", "clients-changed"];
const MODEL = ["round-changed", "session-changed", "log-changed", "overview-changed", "sessions-changed"];
const SERVER = ["round-changed", "overview-changed", "server-changed"];

const CHANGES = new Map([
  ["metrics", ["progress-reported"]],
  ["seat", AT_WORK],
  ["update", AT_WORK],
  ["round", [...MODEL, "clients-changed"]],
  ["evaluation", [...MODEL, "clients-changed"]],
  ["model", MODEL],
  ["session", [...MODEL, "clients-changed"]],
  ["client", ["round-changed", "overview-changed", "clients-changed"]],
  ["alert", ["alerts-changed", "overview-changed"]],
  ["rule", ["alerts-changed"]],
  ["invitation", ["clients-changed"]],
  ["worker", SERVER],
  ["storage", SERVER],
]);

/**
 * What is to be announced for some events, each name once.
 * @param {{ kind: string }[]} events
 */
export function changed(events) {
  return new Set(events.flatMap(({ kind }) => CHANGES.get(kind.split(".")[0]) ?? []));
}
