// The points of one metric of one seat, by step.
import { Column, countBelow } from "./column.js";

const DRAWABLE = 1e100; // a larger value is a gap, as in dashboard/curves.py: no chart bears it beside others
const LEAST_DONE = 1e-6;
const LONGEST = 2 ** 63;

/** @typedef {(number | null)[]} Numbers */
/** @typedef {[steps: number[], values: Numbers, times: Numbers | null, smooth: Numbers | null]} Columns */

/** @param {number} value */
const drawable = (value) => (Math.abs(value) <= DRAWABLE ? value : Number.NaN);

export class Series {
  /**
   * @param {Columns} columns as the server sends them
   * @param {number} whole how many points there are; the server may have left some out
   */
  constructor([steps, values, times, smooth] = [[], [], [], null], whole = steps.length) {
    const order = sorting(steps);
    /** @param {Numbers | null} list */
    const column = (list) => {
      const held = list ?? new Array(steps.length).fill(Number.NaN);
      return new Column(order && list ? order.map((i) => list[i]) : held);
    };
    this.steps = column(steps);
    this.values = column(values);
    this.times = column(times);
    this.smooth = smooth && column(smooth);
    this.whole = whole;
    this.thinned = whole > steps.length;
    this.loaded = this.steps.length; // how many came from the server
    this.until = this.thinned ? (this.steps.last ?? Number.NaN) : -1; // every point up to here is counted, if not held
  }

  get last() {
    return this.steps.last ?? 0;
  }

  /**
   * Take a point in. "" where its step is known; else where it came in.
   * @param {number} step
   * @param {number | null} value
   * @param {number} time in seconds
   * @returns {"" | "end" | "between"}
   */
  push(step, value, time) {
    if (step <= this.until) return "";
    if (!this.steps.length || step > this.last) {
      this.steps.push(step);
      this.values.push(drawable(value ?? Number.NaN));
      this.times.push(time);
      this.whole += 1;
      return "end";
    }
    const at = countBelow(this.steps, step);
    if (this.steps.data[at] === step) return "";
    this.steps.insert(at, step);
    this.values.insert(at, drawable(value ?? Number.NaN));
    this.times.insert(at, time);
    this.smooth = null;
    this.whole += 1;
    return "between";
  }
}

/**
 * The order of steps that do not rise; null where they do.
 * @param {number[]} steps
 */
function sorting(steps) {
  if (!steps.some((step, i) => i && step < steps[i - 1])) return null;
  return steps.map((_, i) => i).sort((a, b) => steps[a] - steps[b]);
}

/**
 * How long a seat's work is, from the last step that it reported and the share of the work that this is, to within 1 %.
 * dashboard/curves.py has the same rule, so that all who look see the same, whichever points they saw.
 * @param {number} last
 * @param {number} fraction
 */
export function estimated(last, fraction) {
  const raw = Math.min(last / Math.max(fraction, LEAST_DONE), LONGEST);
  if (raw < 1) return last; // nothing was reported but a point at step 0
  const grain = 2 ** (Math.floor(Math.log2(raw)) - 6);
  return Math.max(last, Math.floor(raw / grain + 0.5) * grain);
}
