// How long a picture that changes rests between two drawings.
const LEAST = 100; // ms
const MOST = 5_000; // ms: on the slowest machine, too, the picture is not older
const FELT = 50; // ms: a longer drawing is felt, and comes less often

/**
 * How many milliseconds to rest after a drawing: so long that the page stays fluid.
 * @param {number} cost what the drawing took, in milliseconds; with what it waited for, where others hold the processor
 */
export function rest(cost) {
  const wanted = (cost < FELT ? 12 : 20) * cost;
  return Math.min(Math.max(LEAST, wanted), MOST);
}
