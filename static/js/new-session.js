// The form is checked by the server while one types: the same sentences that launching would give.
import { el } from "./dom.js";

const form = document.getElementById("new-session");
const $ = (selector, root = form) => root.querySelector(selector);
const $$ = (selector, root = form) => [...root.querySelectorAll(selector)];
const touched = new Set($$(".field.is-bad").map((field) => field.dataset.field));
const defaults = JSON.parse(document.getElementById("train-defaults").textContent);
const shownWith = JSON.parse(document.getElementById("shown-with").textContent);
let asked = 0;

async function check() {
  const mine = (asked += 1);
  let errors;
  try {
    const answer = await fetch(form.dataset.check, { method: "POST", body: new FormData(form) });
    if (!answer.ok) return;
    ({ errors } = await answer.json());
  } catch { return; }
  if (mine === asked) show(errors);
}

function show(errors) {
  for (const field of $$(".field[data-field]")) {
    const name = field.dataset.field, sentence = touched.has(name) ? errors[name] ?? "" : "", error = $(".field__error", field);
    field.classList.toggle("is-bad", Boolean(sentence));
    error.hidden = !sentence;
    if ($("span", error).textContent !== sentence) $("span", error).textContent = sentence;
    const input = $("input, select", field);
    if (sentence) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
  }
  const bad = $$(".field.is-bad"), banner = $("[data-form-error]"), general = errors.__all__ ?? "";
  banner.hidden = !bad.length && !general;
  const links = bad.flatMap((field, i) => [i ? ", " : "", el("a", { href: `#${$("input, select", field).id}` }, $("label", field).textContent)]);
  $("p", banner).replaceChildren(...(bad.length ? [`${bad.length === 1 ? "1 field needs" : `${bad.length} fields need`} you: `, ...links, "."] : [general]));
}

let timer = 0;
form.addEventListener("input", ({ target }) => {
  const field = target.closest(".field");
  if (!field) return;
  touched.add(field.dataset.field);
  if (target.name === "cohort_size") touched.add("quorum");
  if (target.matches("select")) choose(target);
  clearTimeout(timer);
  timer = setTimeout(() => {
    check();
    for (const name of ["who-changed", "form-changed"]) document.body.dispatchEvent(new CustomEvent(name));
  }, 250);
});

/** Show the fields that fit what is chosen. */
function fit() {
  for (const [name, { field, values }] of Object.entries(shownWith)) {
    const box = $(`.field[data-field="${name}"]`);
    if (box) box.hidden = !values.includes($(`[name="${field}"]`).value);
  }
}
fit();

/** Another workload or strategy has other options, and a workload its own good training settings. */
function choose({ name, value }) {
  for (const group of $$(`[data-options="${name}"]`)) group.hidden = group.dataset.of !== value;
  fit();
  if (name !== "workload") return;
  touched.add("start_from");
  for (const [option, setting] of Object.entries(defaults[value] ?? {})) {
    if (!touched.has(option) && $(`[name="${option}"]`)) $(`[name="${option}"]`).value = String(setting);
  }
  const title = $('[name="name"]');
  if (!touched.has("name")) title.value = title.value.replace(/^\S+/, (word) => (word in defaults ? value : word));
}

form.addEventListener("submit", (event) => {
  if (form.dataset.sent) event.preventDefault(); // a second press while the first is on its way
  form.dataset.sent = "1";
});
addEventListener("pageshow", () => { delete form.dataset.sent; });
