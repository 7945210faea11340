// What a person chose to see of the curves, as the address says it: it outlives a reload and can be sent to others.

/**
 * @typedef {object} View
 * @property {string} metric
 * @property {string} x
 * @property {string} y
 * @property {string} smooth as the slider writes it
 * @property {Iterable<string>} only names of the clients that are isolated
 * @property {number[] | null} zoom
 * @property {boolean} all every last spike is in the picture
 */

/**
 * The address with a view. What is as usual is left out.
 * @param {string} address
 * @param {View} view
 * @param {{ smooth: string }} usual
 */
export function withView(address, view, usual) {
  const url = new URL(address);
  const parts = {
    metric: view.metric === "train_loss" ? "" : view.metric,
    x: view.x === "round" ? "" : view.x,
    y: view.y === "linear" ? "" : view.y,
    smooth: view.smooth === usual.smooth ? "" : view.smooth,
    only: [...view.only].map(escaped).join(","),
    zoom: view.zoom?.map(short).join(",") ?? "",
    spikes: view.all ? "all" : "",
  };
  for (const [name, value] of Object.entries(parts)) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  return url;
}

/**
 * A name in a list that commas separate.
 * @param {string} name
 */
const escaped = (name) => name.replaceAll("%", "%25").replaceAll(",", "%2C");

/** @param {number} value */
const short = (value) => Number(Number(value).toPrecision(5));

/**
 * The names of the clients that are isolated; none: all.
 * @param {URLSearchParams} address
 */
export function isolatedIn(address) {
  const only = address.get("only");
  return new Set(only ? only.split(",").map(decodeURIComponent) : []);
}

/**
 * The zoom, [x, x, y, y]; null without one.
 * @param {URLSearchParams} address
 */
export function zoomIn(address) {
  const zoom = (address.get("zoom") ?? "").split(",").map(Number);
  return zoom.length === 4 && zoom.every(Number.isFinite) ? zoom : null;
}

/**
 * The weight of the smoothing, as text; null without one.
 * @param {URLSearchParams} address
 */
export function smoothingIn(address) {
  const smooth = address.get("smooth");
  return smooth !== null && Number(smooth) >= 0 && Number(smooth) < 1 ? smooth : null;
}
