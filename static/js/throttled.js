/**
 * Act at once, and then at most once in `ms`. The last call is never lost.
 * @param {number} ms
 * @param {() => void} act
 */
export function throttled(ms, act) {
  let isResting = false;
  let isDue = false;
  return function call() {
    if (isResting) {
      isDue = true;
      return;
    }
    act();
    isResting = true;
    setTimeout(() => {
      isResting = false;
      if (isDue) {
        isDue = false;
        call();
      }
    }, ms);
  };
}
