// Tabs, of which one's panel is shown.
import { all } from "./dom.js";

const TAB = "[role=tab]";

/** @param {HTMLElement} tab */
export function selectTab(tab) {
  for (const other of siblings(tab)) {
    const isOn = other === tab;
    other.setAttribute("aria-selected", String(isOn));
    other.tabIndex = isOn ? 0 : -1;
    const panel = document.getElementById(other.getAttribute("aria-controls") ?? "");
    if (panel) panel.hidden = !isOn;
  }
}

/**
 * Select the tab to the right or the left of one; the last is followed by the first.
 * @param {HTMLElement} tab
 * @param {1 | -1} by
 */
export function selectNextTab(tab, by) {
  const tabs = siblings(tab);
  const next = tabs[(tabs.indexOf(tab) + by + tabs.length) % tabs.length];
  selectTab(next);
  next.focus();
}

/**
 * @param {HTMLElement} tab
 * @returns {HTMLElement[]}
 */
const siblings = (tab) => all(TAB, tab.parentElement ?? document);
