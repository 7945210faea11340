// The metrics that agents report: their titles, their groups, and which fit what somebody typed. Names are data.

/** What stands before a measure's name, and what a title says for it. */
const PREFIXES = new Map([
  ["base_val_", "Received model's "],
  ["base_train_", "Received model's training "],
  ["base_", "Received model's "],
  ["val_", "Validation "],
  ["train_", "Training "],
  ["personal_val_", "Personal model's validation "],
  ["personal_train_", "Personal model's training "],
]);
const ORDER = ["train_", "val_", "base_val_"];

/** @typedef {ReadonlyMap<string, string>} Phrases a measure's title within a sentence, by its name */

/** @type {Phrases} */
const NONE = new Map();
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
 * 'Validation Dice score' for val_dice, if that is what the measure dice is called. A name without a known prefix that
 * nobody gave a title is its own.
 * @param {string} metric
 * @param {Phrases} phrases
 */
export function titleOf(metric, phrases = NONE) {
  const word = PREFIXES.get(prefixOf(metric));
  const phrase = phrases.get(measureOf(metric));
  if (word) return word + (phrase ?? measureOf(metric).replaceAll("_", " "));
  return phrase ? phrase.slice(0, 1).toUpperCase() + phrase.slice(1) : metric;
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
 * @param {Phrases} phrases
 */
export function matching(metrics, text, phrases = NONE) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  /** @param {string} metric */
  const both = (metric) => `${metric} ${titleOf(metric, phrases)}`.toLowerCase();
  return metrics.filter((metric) => words.every((word) => both(metric).includes(word)));
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
