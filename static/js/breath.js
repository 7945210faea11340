// A pause in long work, so that the page answers who presses and scrolls meanwhile.
const LONG = 30; // ms

/**
 * Let the browser do what waits, if the work has lasted long enough to be felt.
 * @param {number} began when the work began, as performance.now() says it
 */
export function breath(began) {
  if (performance.now() - began < LONG) return Promise.resolve();
  return new Promise((resolve) => {
    setTimeout(resolve);
  });
}
