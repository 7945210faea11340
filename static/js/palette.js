// The command palette: pages, sessions, clients and acts by their names.
import { all, el, first, icon, one } from "./dom.js";

const MOST = 60; // entries

/** @typedef {{ name: string, icon: string, hint?: string, go?: string, press?: string }} Command */

/**
 * The commands that have every word of what was typed in their name or hint.
 * @param {Command[]} commands
 * @param {string} typed
 */
export function fitting(commands, typed) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return commands.filter(({ name, hint }) => {
    const text = `${name} ${hint ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

class Palette {
  constructor() {
    this.box = /** @type {HTMLDialogElement} */ (one("#palette"));
    this.input = /** @type {HTMLInputElement} */ (one("input", this.box));
    this.list = one("ul", this.box);
    this.own = all("[data-command]", this.list).map(commandOf);
    /** @type {Command[]} */
    this.found = [];
    /** @type {Command[]} */
    this.shown = [];
    this.chosen = 0;
    this.input.addEventListener("input", () => this.fill());
    this.input.addEventListener("keydown", (event) => this.press(event));
    this.list.replaceChildren();
  }

  async open() {
    this.input.value = "";
    this.fill();
    if (!this.box.open) this.box.showModal();
    try {
      this.found = await find();
      if (this.box.open) this.refill();
    } catch {
      // The pages are still reachable by name.
    }
  }

  fill() {
    const usable = [...this.own, ...this.found].filter(({ go, press }) => go || (press && first(press)));
    this.shown = fitting(usable, this.input.value).slice(0, MOST);
    this.list.replaceChildren(...this.shown.map((command, i) => this.item(command, i)));
    if (!this.shown.length) this.list.append(nothing());
    this.choose(0);
  }

  /** With what was found meanwhile, and the same entry chosen. */
  refill() {
    const at = this.chosen;
    this.fill();
    this.choose(at);
  }

  /**
   * @param {Command} command
   * @param {number} i
   */
  item(command, i) {
    const name = el("span", { class: "clip" }, command.name);
    const hint = el("span", { class: "hint" }, command.hint ?? "");
    const options = { role: "option", id: `palette-${i}`, "aria-selected": "false" };
    const item = el("li", options, icon(command.icon), name, hint);
    item.addEventListener("click", () => {
      this.chosen = i;
      this.go();
    });
    item.addEventListener("pointermove", () => this.choose(i));
    return item;
  }

  /** @param {number} index */
  choose(index) {
    this.chosen = Math.max(0, Math.min(this.shown.length - 1, index));
    [...this.list.children].forEach((item, i) => {
      item.setAttribute("aria-selected", String(i === this.chosen));
    });
    const item = this.list.children[this.chosen];
    if (!item?.id) return;
    this.input.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const acts = /** @type {Record<string, () => void>} */ ({
      ArrowDown: () => this.choose(this.chosen + 1),
      ArrowUp: () => this.choose(this.chosen - 1),
      Enter: () => this.go(),
    });
    if (!Object.hasOwn(acts, event.key)) return;
    event.preventDefault();
    acts[event.key]();
  }

  go() {
    const command = this.shown[this.chosen];
    if (!command) return;
    this.box.close();
    if (command.go) location.href = command.go;
    else if (command.press) first(command.press)?.click();
  }
}

/**
 * @param {HTMLElement} node
 * @returns {Command}
 */
function commandOf({ textContent, dataset }) {
  const { icon: picture = "", hint, go, press } = dataset;
  return { name: textContent?.trim() ?? "", icon: picture, hint, go, press };
}

const nothing = () =>
  el(
    "li",
    { role: "option", "aria-disabled": "true", "aria-selected": "false" },
    icon("search"),
    el("span", {}, "Nothing is called that."),
  );

/** @returns {Promise<Command[]>} the sessions and clients */
async function find() {
  const answer = await fetch(document.body.dataset.find ?? "", { headers: { Accept: "application/json" } });
  return (await answer.json()).found;
}

/** @returns {() => void} opens it */
export function startPalette() {
  const palette = new Palette();
  return () => palette.open();
}
