// A file of weights to begin a session with: uploaded while one fills in the form, or chosen of those that are here.
import { around, first, one } from "./dom.js";
import { toast } from "./toasts.js";
import { pause, Refused, Upload } from "./tus.js";
import { forget, isOf, recalled, remember } from "./unfinished.js";
import { sent, size } from "./wording.js";

const PART_BYTES = 4 << 20; // of a slow line, half a minute

const FILE = "file"; // the choice to begin with one

/** A reload has lost the file. @returns {Blob} */
const lost = () => {
  throw new Error("The server has lost a part of the file. Choose it again.");
};

const isReloaded = () =>
  performance.getEntriesByType("navigation").some((entry) => "type" in entry && entry.type === "reload");

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
    this.unfinished = recalled(sessionStorage);
    this.running = new AbortController();
    this.listen();
    this.recall();
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

  /** An upload that a reload has interrupted: without its file it can only go on if everything was sent. */
  async recall() {
    const left = this.unfinished;
    if (!left) return;
    const upload = this.uploadOf({ ...left, slice: lost }, left.location);
    this.upload = upload;
    const why = await upload.look(this.running.signal).catch((/** @type {Error} */ error) => error.message);
    if (this.upload !== upload) return; // somebody chose a file meanwhile
    if (isReloaded()) this.open();
    if (upload.location && upload.offset === left.size) this.send();
    else this.ask(left, upload, why ?? "");
  }

  /**
   * Say what to do.
   * @param {import("./unfinished.js").Unfinished} left
   * @param {Upload} upload
   * @param {string} why the server does not say how far it is; empty if it does
   */
  ask({ name, size: whole }, upload, why) {
    const known = upload.location ? sent(upload.offset, whole) : "The server has kept nothing of it.";
    this.sending.hidden = false;
    this.show(
      `The upload of ${name} was interrupted. ${why || known} Choose the same file again to continue, or cancel it.`,
      upload.offset / whole,
    );
  }

  /** Begin with a file, as before the reload. */
  open() {
    const menu = /** @type {HTMLSelectElement | null} */ (first("[name=start_from]", this.form));
    if (!menu || menu.value === FILE) return;
    menu.value = FILE;
    menu.dispatchEvent(new Event("input", { bubbles: true }));
  }

  begin() {
    const file = this.input.files?.[0];
    if (!file) return;
    const at = isOf(this.unfinished, file) ? this.unfinished?.location : "";
    if (at) this.upload = null; // it stays on the server
    this.stop();
    this.clear();
    this.upload = this.uploadOf(file, at);
    this.send();
  }

  /**
   * @param {import("./tus.js").Content & { lastModified: number }} file
   * @param {string} [at] where it was begun
   */
  uploadOf(file, at) {
    return new Upload({
      url: this.box.dataset.uploads ?? "",
      at,
      file,
      token: /** @type {HTMLInputElement} */ (one("[name=csrfmiddlewaretoken]", this.form)).value,
      partBytes: PART_BYTES,
      onPlace: (location) => remember(sessionStorage, location, file),
      onProgress: (bytes) => this.show(sent(bytes, file.size), bytes / file.size),
      onConversion: () => this.show("Everything is sent. The server converts the file.", 1),
      pause,
    });
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
    this.leave();
  }

  /** There is no upload of this page any more that could go on. */
  leave() {
    this.upload = null;
    this.unfinished = null;
    forget(sessionStorage);
  }

  /** @param {string} said */
  end(said) {
    this.leave(); // it stays on the server
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
