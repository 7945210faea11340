// Keyboard short cuts. G and a letter lead to a page.
import { all, around, first } from "./dom.js";
import { leaveMenus } from "./menus.js";
import { selectNextTab } from "./tabs.js";

const WAITS = 900; // ms for the letter after G
const AFTER_G = new Map([..."oscxmwal"].map((letter) => [letter, `G ${letter.toUpperCase()}`]));
const ALONE = new Map([["n", "N"]]);

/**
 * Which short cut a key is, after the key before it: "G O", or undefined.
 * @param {string} before
 * @param {string} key
 */
export const shortcut = (before, key) => (before === "g" ? AFTER_G : ALONE).get(key);

/**
 * Whether a key is typed into a field, or belongs to the browser or to a dialog.
 * @param {KeyboardEvent} event
 */
export function isTaken(event) {
  const isTyped = event.target instanceof Element && event.target.matches("input, select, textarea");
  return event.ctrlKey || event.metaKey || event.altKey || isTyped || first("dialog[open]") !== null;
}

/** Where each short cut leads: "G O" -> address. */
export function placesOfKeys() {
  return new Map(all("[data-command][data-go]").map(({ dataset }) => [dataset.hint ?? "", dataset.go ?? ""]));
}

/**
 * @param {(id: string) => void} show opens a dialog by its id
 * @param {Map<string, string>} places
 */
export function startKeys(show, places) {
  let before = "";
  document.addEventListener("keydown", (event) => {
    turnTab(event);
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      show("palette");
      return;
    }
    if (event.key === "Escape") leaveMenus();
    if (isTaken(event)) return;
    const go = shortcut(before, event.key);
    if (go) follow(places.get(go));
    else if (event.key === "?") show("shortcuts");
    before = event.key;
    setTimeout(() => {
      before = "";
    }, WAITS);
  });
}

/** @param {string | undefined} address none where this person may not go */
function follow(address) {
  if (address) location.href = address;
}

/** @param {KeyboardEvent} event */
function turnTab(event) {
  const tab = around(event, "[role=tab]");
  if (tab && event.key === "ArrowRight") selectNextTab(tab, 1);
  if (tab && event.key === "ArrowLeft") selectNextTab(tab, -1);
}
