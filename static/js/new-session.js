// The form is checked by the server while one types: the same sentences that launching would give.
import { all, el, first, one } from "./dom.js";
import { startWeightsFile } from "./weights-file.js";

const WAITS = 250; // ms after the last key

/** @typedef {HTMLInputElement | HTMLSelectElement} Field */

const form = /** @type {HTMLFormElement} */ (one("#new-session"));
const touched = new Set(all(".field.is-bad", form).map(fieldOf));
/** @type {Record<string, Record<string, unknown>>} the good settings of each workload */
const defaults = JSON.parse(one("#train-defaults").textContent ?? "");
/** @type {Record<string, { field: string, values: string[] }>} fields that fit some values of another field */
const shownWith = JSON.parse(one("#shown-with").textContent ?? "");
/** Where clients count by their examples, which differential privacy refuses. */
const WEIGHTINGS = all('.field[data-field^="strategy."][data-field$=".weighting"]', form).map(fieldOf);
/** @type {Record<string, string[]>} fields that may no longer fit when another one changes */
const ALSO = {
  cohort_size: ["quorum", "selection"],
  schedule: ["selection", "strategy", "quorum"],
  strategy: ["quorum", "compression", "local_options.clip_norm", "local_options.proximal_mu", ...WEIGHTINGS],
  privacy: ["strategy", "schedule", "late_policy", "selection", "quorum", ...WEIGHTINGS],
  selection: ["quorum"],
  quorum: ["strategy"],
  compression: ["strategy"],
  late_policy: ["strategy"],
  optimizer: ["strategy"],
  workload: ["strategy"],
};
let asked = 0;

startWeightsFile(form);

async function check() {
  asked += 1;
  const mine = asked;
  const errors = await errorsOf(form);
  if (errors && mine === asked) show(errors);
}

/**
 * A sentence for each field that needs one; null where the server did not say.
 * @param {HTMLFormElement} form
 * @returns {Promise<Record<string, string> | null>}
 */
async function errorsOf(form) {
  try {
    const answer = await fetch(form.dataset.check ?? "", { method: "POST", body: new FormData(form) });
    return answer.ok ? (await answer.json()).errors : null;
  } catch {
    return null;
  }
}

/** @param {HTMLElement} field */
function fieldOf({ dataset }) {
  return dataset.field ?? "";
}

/** @param {Record<string, string>} errors */
function show(errors) {
  for (const field of all(".field[data-field]", form)) {
    const name = fieldOf(field);
    const isShown = touched.has(name) && field.ariaBusy !== "true";
    mark(field, isShown ? (errors[name] ?? "") : "");
  }
  const bad = all(".field.is-bad", form);
  const general = errors.__all__ ?? "";
  const banner = one("[data-form-error]", form);
  banner.hidden = !bad.length && !general;
  one("p", banner).replaceChildren(...(bad.length ? [`${needing(bad.length)} you: `, ...links(bad), "."] : [general]));
}

/**
 * @param {HTMLElement} field
 * @param {string} sentence
 */
function mark(field, sentence) {
  const error = one(".field__error", field);
  const text = one("span", error);
  const input = one("input, select", field);
  field.classList.toggle("is-bad", Boolean(sentence));
  error.hidden = !sentence;
  if (text.textContent !== sentence) text.textContent = sentence;
  if (sentence) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

/** @param {number} count */
const needing = (count) => (count === 1 ? "1 field needs" : `${count} fields need`);

/**
 * Links to fields, with commas between them.
 * @param {HTMLElement[]} fields
 */
function links(fields) {
  return fields.flatMap((field, i) => {
    const href = `#${one("input, select", field).id}`;
    return [i ? ", " : "", el("a", { href }, one("label", field).textContent ?? "")];
  });
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
form.addEventListener("input", ({ target }) => {
  const input = /** @type {Field} */ (target);
  const field = /** @type {HTMLElement | null} */ (input.closest(".field"));
  if (!field) return;
  touched.add(fieldOf(field));
  for (const name of ALSO[input.name] ?? []) touched.add(name);
  if (input.matches("select")) choose(input);
  clearTimeout(timer);
  timer = setTimeout(() => {
    check();
    for (const name of ["who-changed", "form-changed"]) document.body.dispatchEvent(new CustomEvent(name));
  }, WAITS);
});

/**
 * Show or hide a field, with the options of what is chosen in it.
 * @param {string} name
 * @param {HTMLElement} box
 * @param {boolean} fits
 */
function showOnly(name, box, fits) {
  box.hidden = !fits;
  const chosen = /** @type {Field} */ (one("input, select", box)).value;
  for (const group of all(`[data-options="${name}"]`, form)) group.hidden = !fits || group.dataset.of !== chosen;
}

/** Show the fields that fit what is chosen. */
function fit() {
  for (const [name, { field, values }] of Object.entries(shownWith)) {
    const box = first(`.field[data-field="${name}"]`, form);
    const other = /** @type {Field} */ (one(`[name="${field}"]`, form));
    if (box) showOnly(name, box, values.includes(other.value));
  }
  for (const section of all(".form-section", form)) {
    const fields = all(".field", section);
    section.hidden = fields.length > 0 && fields.every(({ hidden }) => hidden);
  }
}
fit();

/**
 * Another workload or strategy has other options, and a workload its own good training settings.
 * @param {Field} field
 */
function choose({ name, value }) {
  for (const group of all(`[data-options="${name}"]`, form)) group.hidden = group.dataset.of !== value;
  fit();
  if (name !== "workload") return;
  touched.add("start_from");
  for (const [option, setting] of Object.entries(defaults[value] ?? {})) {
    const field = /** @type {Field | null} */ (form.querySelector(`[name="${option}"]`));
    if (field && !touched.has(option)) field.value = String(setting);
  }
  const title = /** @type {HTMLInputElement} */ (one('[name="name"]', form));
  if (!touched.has("name"))
    title.value = title.value.replace(/^\S+/, (word) => (isWorkload(word) ? bare(value) : word));
}

/**
 * A workload's name without the version that may follow it.
 * @param {string} workload
 */
const bare = (workload) => workload.split("@")[0] ?? "";

/** @param {string} word */
const isWorkload = (word) => Object.keys(defaults).some((workload) => bare(workload) === word);

form.addEventListener("submit", (event) => {
  if (form.dataset.sent) event.preventDefault(); // a second press while the first is on its way
  form.dataset.sent = "1";
});
addEventListener("pageshow", () => {
  delete form.dataset.sent;
});
