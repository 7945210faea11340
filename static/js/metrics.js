// The metrics that agents report: their titles, their groups, and which fit what somebody typed. Names are data.

const PREFIXES = [ // what stands before a measure's name, and what a title says for it
  ["base_val_", "Received model's "], ["base_train_", "Received model's training "], ["base_", "Received model's "],
  ["val_", "Validation "], ["train_", "Training "],
];
const ORDER = ["train_", "val_", "base_val_"];
export const MANY_METRICS = 12; // more are a list with a search

const prefixOf = (metric) => PREFIXES.find(([prefix]) => metric.startsWith(prefix) && metric.length > prefix.length) ?? ["", ""];
const rank = (metric) => ORDER.indexOf(prefixOf(metric)[0]) + 1 || 99;

/** 'Validation f1' for val_f1; a name without a known prefix is its own title. */
export function titleOf(metric) {
  const [prefix, word] = prefixOf(metric);
  return prefix ? word + metric.slice(prefix.length).replaceAll("_", " ") : metric;
}

/** Those of training first, the others by name. */
export const sorted = (metrics) => [...metrics].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));

/** Names by what stands before their first / or _, in the order of their first member. */
export function grouped(metrics) {
  const groups = new Map();
  for (const metric of metrics) {
    const group = metric.split(/[/_]/, 1)[0] || "other";
    groups.set(group, [...(groups.get(group) ?? []), metric]);
  }
  return groups;
}

/** Those whose name or title holds every word of a text. */
export function matching(metrics, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return metrics.filter((metric) => words.every((word) => `${metric} ${titleOf(metric)}`.toLowerCase().includes(word)));
}
