// Of many points, those that a picture can show.
import { Column } from "./column.js";

/** @typedef {[from: number, to: number]} Stretch */

/**
 * The lowest and the highest of each of `parts` stretches, and where the line breaks.
 * @param {Column} x
 * @param {Column} y
 * @param {Stretch | null} range of x that is in sight; null: all
 * @param {number} parts
 * @returns {[xs: Float64Array, ys: Float64Array, whole: number]} `whole` is how many points there were
 */
export function thinned(x, y, range, parts) {
  const [from, to] = within(x, range);
  const whole = to - from;
  if (whole <= 2 * parts) return [x.data.slice(from, to), y.data.slice(from, to), whole];
  const xs = new Column();
  const ys = new Column();
  const stretch = Math.ceil(whole / parts);
  for (let begin = from; begin < to; begin += stretch) {
    const end = Math.min(to, begin + stretch);
    for (const i of marks(y, begin, end, end === to)) {
      xs.push(x.data[i]);
      ys.push(y.data[i]);
    }
  }
  return [xs.all, ys.all, whole];
}

/**
 * The places of the lowest, the highest and the last gap of a stretch, and of its end where it is to be kept. In order.
 * @param {Column} y
 * @param {number} begin
 * @param {number} end
 * @param {boolean} keepsEnd
 */
function marks({ data }, begin, end, keepsEnd) {
  let low = -1;
  let high = -1;
  let gap = -1;
  for (let i = begin; i < end; i += 1) {
    const v = data[i];
    if (Number.isNaN(v)) {
      gap = i;
      continue;
    }
    if (low < 0 || v < data[low]) low = i;
    if (high < 0 || v > data[high]) high = i;
  }
  const found = new Set([low, high, gap, keepsEnd ? end - 1 : -1]);
  found.delete(-1);
  return [...found].sort((a, b) => a - b);
}

/**
 * From and to of the part that is in sight, with one point more at both ends.
 * @param {Column} x
 * @param {Stretch | null} range
 * @returns {Stretch}
 */
export function within({ data, length }, range) {
  if (!range) return [0, length];
  let from = 0;
  let to = length;
  while (from < length && data[from] < range[0]) from += 1;
  while (to > from && data[to - 1] > range[1]) to -= 1;
  return [Math.max(0, from - 1), Math.min(length, to + 1)];
}
