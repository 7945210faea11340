// Menus: <details class="menu">. One closes when a person presses elsewhere, presses Escape, or a dialog opens.
import { all, first } from "./dom.js";

const openMenus = () => /** @type {HTMLDetailsElement[]} */ (all("details.menu[open]"));

export function closeMenus() {
  for (const menu of openMenus()) menu.open = false;
}

/** @param {Event} event */
export function closeMenusElsewhere({ target }) {
  for (const menu of openMenus()) if (!menu.contains(/** @type {Node} */ (target))) menu.open = false;
}

/** Close them, and go back to the button that opened the last. */
export function leaveMenus() {
  for (const menu of openMenus()) {
    menu.open = false;
    first("summary", menu)?.focus();
  }
}
