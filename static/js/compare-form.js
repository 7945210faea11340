// The choice of sessions that are compared.
import { around, el, first } from "./dom.js";

export function startCompareForm() {
  const form = /** @type {HTMLFormElement | null} */ (first("#compare-form"));
  if (!form) return;
  const add = /** @type {HTMLSelectElement | null} */ (first("#add-session"));
  form.addEventListener("click", (event) => {
    const drop = around(event, "[data-drop]");
    if (!drop) return;
    drop.closest(".chip")?.remove();
    form.requestSubmit();
  });
  form.addEventListener("submit", () => {
    if (add && !add.value) add.disabled = true;
    for (const [name, value] of new URLSearchParams(location.search)) {
      if (name !== "s") form.append(el("input", { type: "hidden", name, value })); // the view stays
    }
  });
  add?.addEventListener("change", () => form.requestSubmit());
}
