// The first page becomes the overview once there is a session. It does not, where the person is about to leave it: a
// reload would cancel that.
const LEAVES = 10_000; // ms that the next page may take to come
let leftAt = -LEAVES;

addEventListener("beforeunload", () => {
  leftAt = performance.now();
});

document.body.addEventListener("htmx:beforeOnLoad", (event) => {
  const answer = /** @type {CustomEvent} */ (event).detail.xhr;
  if (answer.getResponseHeader("HX-Refresh") && performance.now() - leftAt < LEAVES) event.preventDefault();
});
