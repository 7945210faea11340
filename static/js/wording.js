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

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** @param {number} bytes */
export function size(bytes) {
  let power = 0;
  let value = bytes;
  while (value >= 999.5 && power < UNITS.length - 1) {
    value /= 1000;
    power += 1;
  }
  const digits = !power || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[power]}`;
}

/**
 * How much of a file is sent.
 * @param {number} bytes
 * @param {number} whole
 */
export const sent = (bytes, whole) => `${Math.floor((100 * bytes) / whole)} %, ${size(bytes)} of ${size(whole)} sent.`;
