// The legend of the curves. It is the read-out too: beside each name stands a value.
import { clientName, el } from "./dom.js";
import { measured } from "./wording.js";

/** @typedef {import("./points.js").Client} Client */

export class Legend {
  /** @param {HTMLElement} box */
  constructor(box) {
    this.box = box;
    this.listed = "";
    this.onList = () => {};
  }

  get buttons() {
    return /** @type {HTMLElement[]} */ ([...this.box.children]);
  }

  /**
   * @param {Client[]} clients
   * @param {Set<string>} only the names of those that are isolated
   */
  list(clients, only) {
    const names = clients.map(({ name }) => name).join("\n");
    if (names !== this.listed) {
      this.listed = names;
      this.fill(clients);
      this.onList();
    }
    this.mark(only);
  }

  /**
   * Buttons that are there stay: of a thousand clients few are new.
   * @param {Client[]} clients
   */
  fill(clients) {
    const known = new Map(this.buttons.map((button) => [button.dataset.name, button]));
    let next = this.box.firstElementChild;
    for (const client of clients) {
      const mine = known.get(client.name) ?? newButton(client);
      if (mine === next) next = next.nextElementSibling;
      else this.box.insertBefore(mine, next);
    }
    while (next) {
      const gone = next;
      next = next.nextElementSibling;
      gone.remove();
    }
  }

  /** @param {Set<string>} only */
  mark(only) {
    this.box.toggleAttribute("data-isolating", only.size > 0);
    for (const button of this.buttons) {
      const isPressed = String(only.has(button.dataset.name ?? ""));
      if (button.getAttribute("aria-pressed") !== isPressed) button.setAttribute("aria-pressed", isPressed);
    }
  }

  /** @param {(number | undefined)[]} values */
  write(values) {
    values.forEach((value, i) => {
      const node = this.box.children[i]?.lastElementChild;
      const text = measured(value);
      if (node && node.textContent !== text) node.textContent = text;
    });
  }

  /** @param {string} text leave out the names without it */
  filter(text) {
    for (const button of this.buttons) {
      button.hidden = !(button.dataset.name ?? "").toLowerCase().includes(text.toLowerCase());
    }
  }
}

/** @param {Client} client */
function newButton(client) {
  const node = el("button", { type: "button", "aria-pressed": "false", "data-name": client.name });
  node.append(clientName(client), el("span", { class: "legend__note" }), el("span", { class: "legend__value" }, "–"));
  return node;
}
