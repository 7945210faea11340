// The frame of every page. The order matters: a listener that comes first acts first.
import { startFilters } from "./filters.js";
import { placesOfKeys, startKeys } from "./keys.js";
import { scrollToModel } from "./lineage.js";
import { startPalette } from "./palette.js";
import { startPresses } from "./presses.js";
import { startSectionNav } from "./section-nav.js";
import { startSwaps } from "./swaps.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./times.js";
import { startToasts } from "./toasts.js";
import "./which-answer-wins.js";

startToasts();
startSwaps();
startFilters();
scrollToModel();
startTheme();

const places = placesOfKeys(); // before the palette takes its entries over
const openPalette = startPalette();

/** @param {string} id */
function show(id) {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.getElementById(id));
  if (id === "palette") openPalette();
  else dialog?.showModal();
}

startPresses(show);
startKeys(show, places);
startSectionNav();
startTimes();
