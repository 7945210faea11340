// Numbers as dashboard/kit/formats.py writes them.

/** @param {number} n */
export const number = (n) =>
  Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, "\u202f");

/**
 * A measured value to three places; powers for what is small or huge.
 * @param {number | null | undefined} v
 */
export function measured(v) {
  if (typeof v !== "number" || !Number.isFinite(v)) return "–";
  const size = Math.abs(v);
  if (v && (size < 0.001 || size >= 1e5)) return v.toExponential(2).replace("+", "");
  return v.toFixed(size < 1000 ? 3 : 0);
}
