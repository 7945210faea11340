// Buttons that copy the code beside them.
import { first } from "./dom.js";
import { toast } from "./toasts.js";

const NOT_ALLOWED =
  "It is selected: copy it with Ctrl C. The browser copies by itself only over HTTPS or on this machine.";

/** @param {HTMLElement} button with what to say afterwards in `data-copy` */
export async function copyBeside(button) {
  const code = first("code", button.parentElement ?? document);
  if (!code) return;
  try {
    await navigator.clipboard.writeText(code.textContent ?? "");
    toast(button.dataset.copy || "Copied. Paste it on the client's machine.");
  } catch {
    getSelection()?.selectAllChildren(code);
    toast(NOT_ALLOWED, "info", "wait");
  }
}
