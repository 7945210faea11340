// Which answer fills a part of the page. A part is fetched again when something changed. A press of a person wins over
// that, whichever answer comes first: a refresh that was asked for before a press is dropped, and asked for again when
// nothing is on its way.

/** @type {Map<XMLHttpRequest, boolean>} */
const flying = new Map(); // requests on their way: whether a person pressed for them
/** @type {Set<string>} */
const missed = new Set(); // events to announce when nothing is on its way
/** @type {WeakMap<XMLHttpRequest, number>} */
const sent = new WeakMap(); // request: how many presses there had been
/** @type {WeakMap<EventTarget, XMLHttpRequest>} */
const latest = new WeakMap(); // part: the request of the last press that fills it
let presses = 0;
let leaves = false;
let ready = document.readyState === "complete";

/**
 * Let the parts that wait for this event fetch themselves: now, or once the page is ready and all answers are there.
 * @param {string} name
 */
export function announce(name) {
  missed.add(name);
  release();
}

function release() {
  if (flying.size || leaves || !ready) return;
  const names = [...missed];
  missed.clear();
  for (const name of names) document.body.dispatchEvent(new CustomEvent(name));
}

/** @param {HtmxDetail} detail */
const isPress = ({ elt, target, requestConfig }) => elt !== target || requestConfig.verb !== "get";

document.addEventListener("DOMContentLoaded", () => {
  ready = true;
  release(); // htmx, which hears the events, has had its turn
});
document.addEventListener("htmx:beforeRequest", (event) => {
  const { target, xhr } = event.detail;
  if (leaves) {
    event.preventDefault(); // the page may be of something that is no more
    return;
  }
  if (isPress(event.detail)) {
    presses += 1;
    latest.set(target, xhr);
  }
  sent.set(xhr, presses);
  target.addEventListener("htmx:beforeSwap", choose); // there: nobody else hears of a part that was replaced
});
document.addEventListener("htmx:beforeSend", ({ detail }) => {
  const { xhr } = detail;
  flying.set(xhr, isPress(detail));
  xhr.addEventListener("loadend", () => {
    // This is after the swap.
    flying.delete(xhr);
    leaves ||= xhr.getResponseHeader("HX-Redirect") !== null;
    release();
  });
});
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) leaves = false;
});

/**
 * A press wins unless somebody pressed for the same part since. Its answer may fill another part than it asked for, as
 * the dialog with the password does; it wins there too unless somebody pressed for that part since.
 * @param {HtmxEvent} event
 */
function choose(event) {
  const { target, xhr, requestConfig } = event.detail;
  const asked = event.currentTarget;
  if (!asked || event.target !== asked) return; // the answer of a part within
  const press = flying.get(xhr);
  const wins = press ? isLatestPress(xhr, asked, target) : isAlone(xhr);
  if (wins && target.isConnected) return;
  event.preventDefault();
  event.stopPropagation();
  if (!press && requestConfig.triggeringEvent) missed.add(requestConfig.triggeringEvent.type);
}

/**
 * @param {XMLHttpRequest} xhr
 * @param {EventTarget} asked the part that it was asked for
 * @param {EventTarget} target the part that its answer fills
 */
function isLatestPress(xhr, asked, target) {
  const last = latest.get(target);
  const isOutdone = last !== undefined && order(last) > order(xhr);
  return latest.get(asked) === xhr && !isOutdone;
}

/**
 * Whether nobody pressed since a refresh was asked for, and no press is on its way.
 * @param {XMLHttpRequest} xhr
 */
const isAlone = (xhr) => order(xhr) === presses && ![...flying.values()].includes(true);

/** @param {XMLHttpRequest} xhr */
const order = (xhr) => sent.get(xhr) ?? Number.NaN;
