/** Numbers in a typed array that grows. */
export class Column {
  /** @param {(number | null | undefined)[]} [values] what is missing is NaN */
  constructor(values = []) {
    this.data = Float64Array.from(values, (value) => value ?? Number.NaN);
    this.length = values.length;
  }

  /** @param {number} value */
  push(value) {
    if (this.length === this.data.length) {
      const grown = new Float64Array(Math.max(64, 2 * this.length));
      grown.set(this.data);
      this.data = grown;
    }
    this.data[this.length] = value;
    this.length += 1;
  }

  /**
   * @param {number} at
   * @param {number} value
   */
  insert(at, value) {
    this.push(value);
    this.data.copyWithin(at + 1, at, this.length - 1);
    this.data[at] = value;
  }

  /** The last of them; undefined without any. */
  get last() {
    return this.length ? this.data[this.length - 1] : undefined;
  }

  get all() {
    return this.data.subarray(0, this.length);
  }
}

/**
 * How many of sorted numbers come before a place: those below `value`, and those equal to it where `through`.
 * @param {Column} sorted
 * @param {number} value
 * @param {boolean} [through]
 */
export function countBelow({ data, length }, value, through = false) {
  let low = 0;
  let high = length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (data[mid] < value || (through && data[mid] === value)) low = mid + 1;
    else high = mid;
  }
  return low;
}
