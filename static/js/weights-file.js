// A file of weights to begin a session with: uploaded while one fills in the form, or chosen of those that are here.
import { around, first, one } from "./dom.js";
import { toast } from "./toasts.js";
import { pause, Refused, Upload } from "./tus.js";
import { sent, size } from "./wording.js";

const PART_BYTES = 4 << 20; // of a slow line, half a minute

class WeightsFile {
  /**
   * @param {HTMLFormElement} form
   * @param {HTMLElement} box
   */
  constructor(form, box) {
    this.form = form;
    this.box = box;
    this.input = /** @type {HTMLInputElement} */ (one("input[type=file]", box));
    this.digest = /** @type {HTMLInputElement} */ (one("[data-digest]", box));
    this.sending = one("[data-sending]", box);
    this.said = one("[data-said]", box);
    this.goOn = one("[data-go-on]", box);
    /** @type {Upload | null} */
    this.upload = null;
    this.running = new AbortController();
    this.listen();
  }

  listen() {
    this.input.addEventListener("input", (event) => event.stopPropagation()); // nothing is chosen yet
    this.input.addEventListener("change", () => this.begin());
    this.goOn.addEventListener("click", () => this.send());
    one("[data-cancel]", this.box).addEventListener("click", () => this.cancel());
    this.box.addEventListener("change", (event) => {
      const radio = /** @type {HTMLInputElement | null} */ (around(event, "input[name=upload]"));
      if (!radio) return;
      this.cancel();
      this.choose(radio.value);
    });
    document.addEventListener("htmx:afterSwap", ({ detail }) => this.forget(detail.target.id));
    this.form.addEventListener("submit", (event) => this.hold(event), true);
  }

  /** The file that was chosen is gone from the list: somebody deleted it. @param {string} swapped */
  forget(swapped) {
    if (swapped === "uploads" && this.digest.value && !first("input[name=upload]:checked", this.box)) this.choose("");
  }

  /** A form that is sent ends the upload: ask for patience. @param {SubmitEvent} event */
  hold(event) {
    if (this.box.ariaBusy !== "true" || this.box.hidden) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    toast("The file is being uploaded. Wait until it is here, or cancel it.", "upload", "wait");
  }

  begin() {
    const file = this.input.files?.[0];
    if (!file) return;
    this.stop();
    this.clear();
    this.upload = new Upload({
      url: this.box.dataset.uploads ?? "",
      file,
      token: /** @type {HTMLInputElement} */ (one("[name=csrfmiddlewaretoken]", this.form)).value,
      partBytes: PART_BYTES,
      onProgress: (bytes) => this.show(sent(bytes, file.size), bytes / file.size),
      onConversion: () => this.show("Everything is sent. The server converts the file.", 1),
      pause,
    });
    this.send();
  }

  async send() {
    const upload = this.upload;
    if (!upload) return;
    const { signal } = this.running;
    this.setBusy(true);
    this.sending.hidden = false;
    this.goOn.hidden = true;
    this.show("The upload begins.", 0);
    try {
      const told = await upload.send(signal);
      this.setBusy(false);
      this.end(`${told.name} is here, ${size(told.num_bytes)}.`);
      this.choose(told.digest ?? "");
      document.body.dispatchEvent(new CustomEvent("uploads-changed"));
    } catch (error) {
      if (signal.aborted) return; // cancelled, or another file was chosen
      this.setBusy(false);
      this.fail(/** @type {Error} */ (error));
    }
  }

  /** Somebody gives it up. */
  cancel() {
    this.stop();
    this.input.value = "";
    this.sending.hidden = true;
  }

  stop() {
    this.running.abort();
    this.running = new AbortController();
    this.setBusy(false);
    this.upload?.cancel();
    this.upload = null;
  }

  /** @param {string} said */
  end(said) {
    this.upload = null; // it stays on the server
    this.show(said, 1);
    one("[data-cancel]", this.box).hidden = true;
  }

  /** @param {Error} error */
  fail(error) {
    const isRefused = error instanceof Refused;
    this.show(isRefused ? error.message : `The upload stands still: ${error.message}`, null);
    this.said.classList.add("tone-bad");
    this.goOn.hidden = isRefused;
    if (!isRefused) return;
    one("[data-cancel]", this.box).hidden = true;
    this.stop(); // another file is a new upload
  }

  /**
   * @param {string} said
   * @param {number | null} part of the file that is sent; null leaves it as it is
   */
  show(said, part) {
    this.said.textContent = said;
    this.said.classList.remove("tone-bad");
    one("[data-cancel]", this.box).hidden = false;
    if (part !== null) one(".fill", this.sending).setAttribute("width", `${100 * part}%`);
  }

  /** The form says nothing of the file while it is on its way. @param {boolean} isBusy */
  setBusy(isBusy) {
    this.box.ariaBusy = String(isBusy);
  }

  /** No file is chosen, and none was refused. */
  clear() {
    const radio = /** @type {HTMLInputElement | null} */ (first("input[name=upload]:checked", this.box));
    if (radio) radio.checked = false;
    this.box.classList.remove("is-bad");
    one(".field__error", this.box).hidden = true;
    this.choose("");
  }

  /** @param {string} digest */
  choose(digest) {
    if (this.digest.value === digest) return;
    this.digest.value = digest;
    if (digest) this.digest.dispatchEvent(new Event("input", { bubbles: true })); // the form checks it
  }
}

/** @param {HTMLFormElement} form */
export function startWeightsFile(form) {
  new WeightsFile(form, one("[data-uploads]", form));
}
