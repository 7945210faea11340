// Small things that every module needs. Text always enters as text, so a client's name can never become markup.
const SVG = "http://www.w3.org/2000/svg";

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export function svg(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

export function icon(name, classes = "") {
  const node = svg("svg", { class: `icon ${classes}`.trim(), "aria-hidden": "true" });
  node.append(svg("use", { href: `${document.body.dataset.icons}#${name}` }));
  return node;
}

/** A client's name with a piece of its line: solid to 10, dashed to 20, grey beyond. */
export function clientName({ name, ordinal }) {
  const line = svg("line", { x1: 0, x2: 14, y1: 7, y2: 7 });
  if (ordinal > 10 && ordinal <= 20) line.setAttribute("stroke-dasharray", "5 3");
  const sample = svg("svg", { class: ordinal <= 20 ? `c${ordinal}` : "c-rest", viewBox: "0 0 14 14", "aria-hidden": "true" });
  sample.append(line);
  return el("span", { class: "client" }, sample, el("span", { class: "client__name" }, name));
}

export const number = (n) => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** At once, and then at most once in `ms`: the last call is never lost. */
export function throttled(ms, act) {
  let timer = 0, due = false;
  return function call() {
    if (timer) { due = true; return; }
    act();
    timer = setTimeout(() => {
      timer = 0;
      if (due) { due = false; call(); }
    }, ms);
  };
}

/** A loss or an accuracy to three places; powers for what is small or huge: as dashboard/kit/formats.py writes them. */
export function measured(v) {
  if (!Number.isFinite(v)) return "–";
  const size = Math.abs(v);
  if (v && (size < 0.001 || size >= 1e5)) return v.toExponential(2).replace("+", "");
  return v.toFixed(size < 1000 ? 3 : 0);
}
