// What most of many values are: a band over many lines, and a range that a few spikes do not set.
import { within } from "./thinning.js";

/** @typedef {import("./lines.js").Line} Line */
/** @typedef {import("./thinning.js").Stretch} Stretch */

const CELLS = 160; // of the band along x
const PARTS = 24; // of the axis, each of which has a say in the range
const SAMPLE = 300; // values a line that are looked at
const SAMPLES = 60_000; // of all lines together
const FEW = 0.1; // of all values: more outside of a range are no few spikes
const FEWEST = 4; // values of a part that are too few to have a say

/**
 * Of sorted values, between two of them where need be.
 * @param {ArrayLike<number>} sorted
 * @param {number} q
 */
export function quantile(sorted, q) {
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

/**
 * The 10, 50 and 90 % quantiles of many lines along x.
 * @param {Line[]} lines
 * @param {Stretch | null} range
 */
export function band(lines, range) {
  const [from, to] = range ?? extent(lines);
  const out = { x: numbers(), low: numbers(), mid: numbers(), high: numbers() };
  if (!(to > from)) return out;
  for (let k = 0; k <= CELLS; k += 1) {
    const at = from + (k / CELLS) * (to - from);
    const values = sorted(lines.map((line) => line.near(at)).filter(Number.isFinite));
    if (values.length < 2) continue;
    out.x.push(at);
    out.low.push(quantile(values, 0.1));
    out.mid.push(quantile(values, 0.5));
    out.high.push(quantile(values, 0.9));
  }
  return out;
}

/** @returns {number[]} */
const numbers = () => [];

/**
 * Typed arrays sort many times faster: they ask nobody which number is less.
 * @param {number[]} values
 */
const sorted = (values) => Float64Array.from(values).sort();

/**
 * @param {Line[]} lines
 * @returns {Stretch}
 */
function extent(lines) {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const { x } of lines) {
    if (!x.length) continue;
    from = Math.min(from, x.data[0]);
    to = Math.max(to, x.data[x.length - 1]);
  }
  return [from, to];
}

/**
 * The range of values that most points of every part of the axis lie in; null where nearly all of them do. A few spikes
 * shall not flatten everything else.
 * @param {Line[]} lines
 * @param {Stretch | null} range
 * @returns {Stretch | null}
 */
export function robustRange(lines, range) {
  const axis = range ?? extent(lines);
  if (!(axis[1] > axis[0])) return null;
  const { cells, least, most } = sampled(lines, range, axis);
  const ends = cells.filter((cell) => cell.length > FEWEST).map(middle);
  if (!ends.length) return null;
  const low = Math.min(...ends.map(([v]) => v));
  const high = Math.max(...ends.map(([, v]) => v));
  const spread = high - low || Math.abs(high) || 1;
  if (most - least <= 1.5 * spread) return null;
  const found = rounded(Math.max(least, low - 0.25 * spread), Math.min(most, high + 0.25 * spread));
  const all = cells.flat(); // parts of few values have no say, but together they may be many
  return all.filter((v) => v < found[0] || v > found[1]).length > FEW * all.length ? null : found;
}

/**
 * Where 90 % of some values are.
 * @param {number[]} cell
 */
function middle(cell) {
  const values = sorted(cell);
  return [quantile(values, 0.05), quantile(values, 0.95)];
}

/**
 * Values of each part of the axis, and the least and most of all.
 * @param {Line[]} lines
 * @param {Stretch | null} range
 * @param {Stretch} axis
 */
function sampled(lines, range, [from, to]) {
  const cells = Array.from({ length: PARTS }, numbers);
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  const looks = Math.min(SAMPLE, SAMPLES / lines.length);
  for (const { x, y } of lines) {
    const [begin, end] = within(x, range);
    const stride = Math.max(1, Math.floor((end - begin) / looks));
    for (let i = begin; i < end; i += 1) {
      const v = y.data[i];
      if (!Number.isFinite(v)) continue;
      if (v < least) least = v;
      if (v > most) most = v;
      if ((i - begin) % stride) continue;
      const part = Math.floor((PARTS * (x.data[i] - from)) / (to - from));
      cells[Math.max(0, Math.min(PARTS - 1, part))].push(v);
    }
  }
  return { cells, least, most };
}

/**
 * Round numbers around a range, so that it moves seldom.
 * @param {number} low
 * @param {number} high
 * @returns {Stretch}
 */
function rounded(low, high) {
  const unit = 10 ** Math.floor(Math.log10(high - low)) / 5;
  return [Math.floor(low / unit) * unit, Math.ceil(high / unit) * unit];
}
