// The parts of a page that htmx fetches, and which answer wins. A part is fetched anew when something changed. What one
// presses wins over that, whichever answer comes first: a refresh that was asked for before a press is passed over, and
// asked for again once nothing is on its way.
const flying = new Map(); // requests on their way: whether somebody pressed for them
const missed = new Set(); // events that the parts are to hear then
const sent = new WeakMap(); // request: how many presses there had been
const latest = new WeakMap(); // part: the request of the last press that fills it
let presses = 0, leaves = false, ready = document.readyState === "complete";

/** Let the parts that wait for this event fetch themselves: now, or once the page is ready and all answers are there. */
export function tell(name) {
  missed.add(name);
  release();
}

function release() {
  if (flying.size || leaves || !ready) return;
  const names = [...missed];
  missed.clear();
  for (const name of names) document.body.dispatchEvent(new CustomEvent(name));
}

const isPress = ({ elt, target, requestConfig }) => elt !== target || requestConfig.verb !== "get";

document.addEventListener("DOMContentLoaded", () => { ready = true; release(); }); // htmx, which hears the events, has had its turn
document.addEventListener("htmx:beforeRequest", (event) => {
  const { target, xhr } = event.detail;
  if (leaves) { event.preventDefault(); return; } // the page may be of something that is no more
  if (isPress(event.detail)) { presses += 1; latest.set(target, xhr); }
  sent.set(xhr, presses);
  target.addEventListener("htmx:beforeSwap", choose); // there, because nobody else hears of a part that was replaced
});
document.addEventListener("htmx:beforeSend", ({ detail }) => {
  const { xhr } = detail;
  flying.set(xhr, isPress(detail));
  xhr.addEventListener("loadend", () => { // after the swap
    flying.delete(xhr);
    leaves ||= xhr.getResponseHeader("HX-Redirect") !== null;
    release();
  });
});
addEventListener("pageshow", ({ persisted }) => { if (persisted) leaves = false; });

// A press wins where nobody pressed for the same part since. Its answer may fill another part than it asked for, as the
// dialog with the password does; it wins there too unless somebody pressed for that part since.
function choose(event) {
  const { target, xhr, requestConfig } = event.detail, asked = event.currentTarget, press = flying.get(xhr);
  if (event.target !== asked) return; // of a part within
  const since = sent.get(latest.get(target)) > sent.get(xhr);
  const isLatest = latest.get(asked) === xhr && !since, isAlone = sent.get(xhr) === presses;
  const wins = press ? isLatest : isAlone && ![...flying.values()].includes(true);
  if (wins && target.isConnected) return;
  event.preventDefault();
  event.stopPropagation();
  if (!press && requestConfig.triggeringEvent) missed.add(requestConfig.triggeringEvent.type);
}
