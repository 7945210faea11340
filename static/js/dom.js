// Elements of the page. Text always enters as text, so a client's name can never become markup.
const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Record<string, string | number | null | undefined>} Attributes */

/**
 * The first element that a selector finds. The page must have one.
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {T}
 */
export function one(selector, root = document) {
  const node = root.querySelector(selector);
  if (!node) throw new Error(`This page has no ${selector}.`);
  return /** @type {T} */ (node);
}

/**
 * The first element that a selector finds, or null.
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {T | null}
 */
export function first(selector, root = document) {
  return root.querySelector(selector);
}

/**
 * Every element that a selector finds.
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {T[]}
 */
export function all(selector, root = document) {
  return [...root.querySelectorAll(selector)].map((node) => /** @type {T} */ (node));
}

/**
 * The element that an event happened in, or the nearest one around it that fits.
 * @template {Element} [T=HTMLElement]
 * @param {Event} event
 * @param {string} selector
 * @returns {T | null}
 */
export function around(event, selector) {
  return event.target instanceof Element ? event.target.closest(selector) : null;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  setAttributes(node, attributes);
  node.append(...children);
  return node;
}

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  setAttributes(node, attributes);
  return node;
}

/**
 * @param {Element} node
 * @param {Attributes} attributes
 */
function setAttributes(node, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(key, String(value));
  }
}

/**
 * @param {string} name
 * @param {string} [classes]
 */
export function icon(name, classes = "") {
  const node = svg("svg", { class: `icon ${classes}`.trim(), "aria-hidden": "true" });
  node.append(svg("use", { href: `${document.body.dataset.icons}#${name}` }));
  return node;
}

/**
 * A client's name with a piece of its line: solid to 10, dashed to 20, grey beyond.
 * @param {{ name: string, ordinal: number }} client
 */
export function clientName({ name, ordinal }) {
  const line = svg("line", { x1: 0, x2: 14, y1: 7, y2: 7 });
  if (ordinal > 10 && ordinal <= 20) line.setAttribute("stroke-dasharray", "5 3");
  const colour = ordinal <= 20 ? `c${ordinal}` : "c-rest";
  const sample = svg("svg", { class: colour, viewBox: "0 0 14 14", "aria-hidden": "true" });
  sample.append(line);
  return el("span", { class: "client" }, sample, el("span", { class: "client__name" }, name));
}
