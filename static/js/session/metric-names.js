// The metrics that agents report: their titles, their groups, and which fit what somebody typed. Names are data.

/** What stands before a measure's name, and what a title says for it. */
const PREFIXES = new Map([
  ["base_val_", "Received model's "],
  ["base_train_", "Received model's training "],
  ["base_", "Received model's "],
  ["val_", "Validation "],
  ["train_", "Training "],
]);
const ORDER = ["train_", "val_", "base_val_"];
export const MANY_METRICS = 12; // more are a list with a search

/** @param {string} metric */
const prefixOf = (metric) =>
  [...PREFIXES.keys()].find((prefix) => metric.startsWith(prefix) && metric.length > prefix.length) ?? "";

/**
 * The measure that a metric is of: f1 for val_f1.
 * @param {string} metric
 */
export const measureOf = (metric) => metric.slice(prefixOf(metric).length);

/** @param {string} metric */
const rank = (metric) => ORDER.indexOf(prefixOf(metric)) + 1 || 99;

/**
 * 'Validation f1' for val_f1; a name without a known prefix is its own title.
 * @param {string} metric
 */
export function titleOf(metric) {
  const prefix = prefixOf(metric);
  const word = PREFIXES.get(prefix);
  return word ? word + metric.slice(prefix.length).replaceAll("_", " ") : metric;
}

/**
 * Those of training first, the others by name.
 * @param {Iterable<string>} metrics
 */
export const sorted = (metrics) => [...metrics].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));

/**
 * Names by what stands before their first / or _, in the order of their first member.
 * @param {string[]} metrics
 */
export function grouped(metrics) {
  /** @type {Map<string, string[]>} */
  const groups = new Map();
  for (const metric of metrics) {
    const group = metric.split(/[/_]/, 1)[0] || "other";
    groups.set(group, [...(groups.get(group) ?? []), metric]);
  }
  return groups;
}

/**
 * Those whose name or title holds every word of a text.
 * @param {string[]} metrics
 * @param {string} text
 */
export function matching(metrics, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return metrics.filter((metric) => words.every((word) => `${metric} ${titleOf(metric)}`.toLowerCase().includes(word)));
}

/**
 * The one to show: what is wanted if it was reported, else the one that is here, else the first; "" without any.
 * @param {string[]} reported
 * @param {string | null} wanted
 * @param {string | null} held the only one that the server sent
 */
export function chosen(reported, wanted, held) {
  if (wanted !== null && reported.includes(wanted)) return wanted;
  return held ?? reported[0] ?? "";
}
