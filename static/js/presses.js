// What presses do that no form or link does: dialogs, the theme, copying, tabs.

import { copyBeside } from "./copying.js";
import { around } from "./dom.js";
import { closeMenusElsewhere } from "./menus.js";
import { selectTab } from "./tabs.js";
import { switchTheme } from "./theme.js";

const PRESSED = "[data-open], [data-close], [data-theme-toggle], [data-copy], [role=tab]";

/** @param {(id: string) => void} show opens a dialog by its id */
export function startPresses(show) {
  document.addEventListener("click", refuse, true);
  document.addEventListener("click", (event) => {
    closeMenusElsewhere(event);
    if (event.target instanceof HTMLDialogElement) {
      event.target.close(); // the shade around it
      return;
    }
    const pressed = around(event, PRESSED);
    if (pressed) act(pressed, event, show);
  });
}

/** @param {Event} event */
function refuse(event) {
  if (!around(event, '[aria-disabled="true"]')) return;
  event.preventDefault();
  event.stopPropagation();
}

/**
 * @param {HTMLElement} pressed
 * @param {Event} event
 * @param {(id: string) => void} show
 */
function act(pressed, event, show) {
  if (pressed.dataset.open) show(pressed.dataset.open);
  else if ("close" in pressed.dataset) close(pressed, event);
  else if ("themeToggle" in pressed.dataset) switchTheme();
  else if ("copy" in pressed.dataset) copyBeside(pressed);
  else selectTab(pressed);
}

/**
 * Close the dialog around a button. Where there is none, its link is followed.
 * @param {HTMLElement} pressed
 * @param {Event} event
 */
function close(pressed, event) {
  const dialog = pressed.closest("dialog");
  if (!dialog) return;
  event.preventDefault();
  dialog.close();
}
