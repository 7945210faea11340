// The navigation within a page marks the section in sight.
import { all } from "./dom.js";

const HEAD = 140; // px: a section begins when it is this near to the top
const END = 4; // px: the end of the page is reached

/**
 * Which of several sections is in sight: the last one that has begun, at the end of the page the last one.
 * @param {number[]} tops of the sections, in pixels below the top of the window
 * @param {boolean} isAtEnd
 */
export function inSight(tops, isAtEnd) {
  if (isAtEnd) return tops.length - 1;
  return Math.max(
    0,
    tops.findLastIndex((top) => top < HEAD),
  );
}

export function startSectionNav() {
  const links = /** @type {HTMLAnchorElement[]} */ (all(".section-nav a"));
  if (links.length) addEventListener("scroll", () => requestAnimationFrame(() => mark(links)), { passive: true });
}

/** @param {HTMLAnchorElement[]} links */
function mark(links) {
  const sections = links.map((link) => document.getElementById(link.hash.slice(1))).filter((node) => node !== null);
  const isAtEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - END;
  const tops = sections.map((section) => section.getBoundingClientRect().top);
  const current = sections[inSight(tops, isAtEnd)];
  for (const link of links) {
    if (link.hash.slice(1) === current.id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
