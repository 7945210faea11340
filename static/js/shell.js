// The frame of every page: theme, toasts, dialogs, tabs, copying, command palette, short cuts, and how htmx behaves here.
import { el, icon } from "./dom.js";
import "./parts.js";
import { localise, setNow, start as startTimes } from "./times.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// ---- toasts

export function toast(sentence, name = "check-circle", tone = "ok") {
  const close = el("button", { class: "btn btn--s", type: "button" }, "Close");
  const node = el("div", { class: "toast" }, icon(name, `tone-${tone}`), el("p", {}, sentence), close);
  const end = () => node.remove();
  close.addEventListener("click", end);
  $("[data-toasts]").append(node);
  setTimeout(end, 8000);
}
for (const waiting of $$("template[data-toast]")) {
  toast(waiting.content.textContent, ...waiting.dataset.tags.split(" "));
  waiting.remove();
}
document.body.addEventListener("toast", ({ detail }) => toast(detail.sentence, detail.icon, detail.tone));

// ---- htmx

const dialog = $("#dialog");
let open = new Set(), unsent = [], scrolled = [];

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, xhr } = event.detail;
  if (xhr.status === 422) event.detail.shouldSwap = true; // a form with its sentences
  open = new Set($$("details[open][id]", target.parentElement ?? target).map((node) => node.id));
  scrolled = $$("[id]", target).filter((node) => node.scrollTop || node.scrollLeft).map(({ id, scrollTop, scrollLeft }) => ({ id, scrollTop, scrollLeft }));
  unsent = target.id === "dialog-body" ? [] : $$("input[id], textarea[id]", target).filter(isUnsent).map(stateOf);
});
document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
  for (const id of open) { const menu = document.getElementById(id); if (menu) menu.open = true; }
  for (const { id, ...state } of [...unsent, ...scrolled]) { const node = document.getElementById(id); if (node) Object.assign(node, state); }
  for (const node of $$("[data-now]")) if (node !== document.body) setNow(node.dataset.now);
  localise(document);
  if (target.id === "dialog-body") {
    for (const menu of $$("details.menu[open]")) menu.open = false;
    if (!dialog.open) dialog.showModal();
  }
  $("[autofocus]", target)?.focus();
});

// What one typed or ticked outlives a refresh of its part until it is sent. A filter sends itself.
function isUnsent(field) {
  return !field.closest("form[hx-get]") && (field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);
}
const stateOf = ({ id, type, checked, value, selectionStart, selectionEnd }) => (type === "checkbox" ? { id, checked } : { id, value, selectionStart, selectionEnd });
document.addEventListener("htmx:afterRequest", ({ detail: { elt, successful } }) => {
  if (successful && elt.matches("form[hx-post]")) for (const field of $$("input, textarea", elt)) field.defaultValue = field.value;
});

document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (!detail.elt.closest("#dialog") || detail.requestConfig?.verb !== "post") return;
  if (detail.xhr.status === 204 || (detail.failed && detail.xhr.status !== 422)) dialog.close();
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, ({ detail }) => {
    if (detail.requestConfig?.verb === "post") toast("The server did not answer, so it may not have been done. Look before you try again.", "warning", "wait");
  });
}
document.addEventListener("htmx:responseError", ({ detail: { xhr, elt } }) => {
  if (elt.matches("[data-quiet]")) return; // it asks again by itself
  if (!xhr.getResponseHeader("HX-Trigger") && xhr.status !== 401) toast(xhr.status === 404 ? "This is gone: somebody else deleted it." : xhr.status === 503 ? "The database does not answer now. Try again in a moment." : "The server could not do this. Its log tells more.", "warning", "bad");
});

// What a filter says stays in the address, so that a reload keeps it.
document.addEventListener("change", keepAddress);
document.addEventListener("input", keepAddress);
function keepAddress({ target }) {
  const form = target.closest?.("form[data-keep-url]");
  if (!form) return;
  const url = new URL(location), values = new FormData(form);
  url.search = "";
  for (const [name, value] of values) if (value) url.searchParams.set(name, value);
  history.replaceState(null, "", url);
}

// A lineage that is wider than its place begins where its model is.
const here = $(".lineage .is-here");
if (here) {
  const box = here.closest(".lineage"), { x, width } = here.getBBox();
  box.scrollLeft = x - (box.clientWidth - width) / 2;
}

// Who turns the page before the list of what was just typed is there sees its first page, and not the next of the old one.
document.addEventListener("click", ({ target }) => {
  const link = target.closest?.(".pager a"), form = $("form[data-keep-url]");
  if (!link || !form) return;
  const url = new URL(link.href);
  for (const [name, typed] of new FormData(form)) {
    if ((url.searchParams.get(name) ?? "") === typed.trim()) continue;
    url.searchParams.set(name, typed.trim());
    url.searchParams.delete("page");
  }
  link.href = url;
});

// ---- theme

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; SameSite=Lax`;
  dispatchEvent(new Event("themechange"));
}
for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", () => dispatchEvent(new Event("themechange"))); // paper is light

// ---- command palette

function setUpPalette() {
  const box = $("#palette"), input = $("input", box), list = $("ul", box);
  const own = $$("[data-command]", list).map(({ textContent, dataset }) => ({ name: textContent, icon: dataset.icon, hint: dataset.hint, go: dataset.go, press: dataset.press }));
  let found = [], shown = [], chosen = 0;
  const choose = (index) => {
    chosen = Math.max(0, Math.min(shown.length - 1, index));
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
    const item = list.children[chosen];
    if (item?.id) { input.setAttribute("aria-activedescendant", item.id); item.scrollIntoView({ block: "nearest" }); }
  };
  const go = () => {
    const command = shown[chosen];
    if (!command) return;
    box.close();
    if (command.go) location.href = command.go; else $(command.press)?.click();
  };
  const fill = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = [...own, ...found].filter((c) => (c.go || $(c.press)) && words.every((w) => `${c.name} ${c.hint ?? ""}`.toLowerCase().includes(w))).slice(0, 60);
    list.replaceChildren(...shown.map((c, i) => {
      const item = el("li", { role: "option", id: `palette-${i}`, "aria-selected": "false" }, icon(c.icon), el("span", { class: "clip" }, c.name), el("span", { class: "hint" }, c.hint ?? ""));
      item.addEventListener("click", () => { chosen = i; go(); });
      item.addEventListener("pointermove", () => choose(i));
      return item;
    }));
    if (!shown.length) list.append(el("li", { role: "option", "aria-disabled": "true", "aria-selected": "false" }, icon("search"), el("span", {}, "Nothing is called that.")));
    choose(0);
  };
  input.addEventListener("input", fill);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") { event.preventDefault(); choose(chosen + 1); }
    if (event.key === "ArrowUp") { event.preventDefault(); choose(chosen - 1); }
    if (event.key === "Enter") { event.preventDefault(); go(); }
  });
  list.replaceChildren();
  return async () => {
    input.value = "";
    fill();
    if (!box.open) box.showModal();
    try {
      found = (await (await fetch(document.body.dataset.find, { headers: { Accept: "application/json" } })).json()).found;
      if (box.open) { const at = chosen; fill(); choose(at); }
    } catch { /* the pages are still reachable by name */ }
  };
}
const places = Object.fromEntries($$("[data-command][data-go]").map(({ dataset }) => [dataset.hint, dataset.go])); // "G O" -> address
const openPalette = setUpPalette();
const show = (id) => (id === "palette" ? openPalette() : document.getElementById(id)?.showModal());

// ---- clicks

document.addEventListener("click", (event) => {
  const refused = event.target.closest('[aria-disabled="true"]');
  if (refused) { event.preventDefault(); event.stopPropagation(); }
}, true);
document.addEventListener("click", (event) => {
  for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  if (event.target.matches("dialog")) { event.target.close(); return; }
  const target = event.target.closest("[data-open], [data-close], [data-theme-toggle], [data-copy], [role=tab]");
  if (!target) return;
  if (target.dataset.open) show(target.dataset.open);
  else if ("close" in target.dataset) { if (target.closest("dialog")) { event.preventDefault(); target.closest("dialog").close(); } }
  else if ("themeToggle" in target.dataset) switchTheme();
  else if ("copy" in target.dataset) copy(target.parentElement.querySelector("code"), target.dataset.copy);
  else selectTab(target);
});

async function copy(code, sentence) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    toast(sentence || "Copied. Paste it on the client's machine.");
  } catch {
    getSelection().selectAllChildren(code);
    toast("It is selected: copy it with Ctrl C. The browser copies by itself only over HTTPS or on this machine.", "info", "wait");
  }
}

function selectTab(tab) {
  for (const other of $$("[role=tab]", tab.parentElement)) {
    const on = other === tab;
    other.setAttribute("aria-selected", String(on));
    other.tabIndex = on ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !on;
  }
}

// ---- keys

let prefix = "";
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.("[role=tab]");
  if (tab && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
    const all = $$("[role=tab]", tab.parentElement);
    const next = all[(all.indexOf(tab) + (event.key === "ArrowRight" ? 1 : all.length - 1)) % all.length];
    selectTab(next);
    next.focus();
  }
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); openPalette(); return; }
  if (event.key === "Escape") for (const menu of $$("details.menu[open]")) { menu.open = false; $("summary", menu).focus(); }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, select, textarea") || $("dialog[open]")) return;
  const go = prefix === "g" ? { o: "G O", s: "G S", c: "G C", x: "G X", m: "G M", a: "G A", l: "G L" }[event.key] : { n: "N" }[event.key];
  if (go) jump(go);
  else if (event.key === "?") show("shortcuts");
  prefix = event.key;
  setTimeout(() => { prefix = ""; }, 900);
});
function jump(keys) { location.href = places[keys]; }

// ---- the section in sight is marked in the in-page navigation

const links = $$(".section-nav a");
if (links.length) {
  const mark = () => {
    const sections = links.map((a) => document.getElementById(a.hash.slice(1))).filter(Boolean);
    const bottom = innerHeight + scrollY >= document.documentElement.scrollHeight - 4;
    const current = bottom ? sections.at(-1) : sections.filter((s) => s.getBoundingClientRect().top < 140).at(-1) ?? sections[0];
    for (const a of links) if (a.hash.slice(1) === current.id) a.setAttribute("aria-current", "true"); else a.removeAttribute("aria-current");
  };
  addEventListener("scroll", () => requestAnimationFrame(mark), { passive: true });
}

startTimes();
