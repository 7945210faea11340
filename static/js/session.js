// A session's page: the live curves and the global model's chart. The rest of the page is fragments.
import { Curves, MANY } from "./curves.js";
import { Detail, inRounds, question } from "./detail.js";
import { el, measured, number, throttled } from "./dom.js";
import { onEvents, seen } from "./live.js";
import { MANY_METRICS, grouped, matching, sorted, titleOf } from "./metrics.js";
import { drawFigure, savePng } from "./plot.js";
import { Points } from "./points.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const card = $("[data-curves]"), plot = $("#curves"), legend = $("[data-legend]"), title = $("h1").textContent;
const socket = [...document.querySelectorAll("meta[name=follow]")].map((meta) => meta.content).find((url) => url.startsWith("/ws/sessions/"));

const named = titleOf, capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

const points = new Points();
const curves = new Curves(plot, points, { readout: $("[data-readout]"), legend, epochs: Number(card.dataset.epochs) || 1 });
let waiting = []; // events that came before the points were there
let loaded = false;

// ---- the view, in the address

const view = new URLSearchParams(location.search);
for (const name of ["x", "y"]) {
  const input = $(`[name="${name}"][value="${CSS.escape(view.get(name) ?? "")}"]`, card);
  if (input) { input.checked = true; curves[name] = input.value; }
}
const smooth = $("[name=smooth]", card);
if (view.has("smooth") && Number(view.get("smooth")) >= 0 && Number(view.get("smooth")) < 1) smooth.value = view.get("smooth");
curves.weight = Number(smooth.value);
smooth.nextElementSibling.textContent = curves.weight.toFixed(2);
curves.all = view.get("spikes") === "all";
if (view.get("only")) curves.only = new Set(view.get("only").split(",").map(decodeURIComponent));
const zoom = (view.get("zoom") ?? "").split(",").map(Number);
if (zoom.length === 4 && zoom.every(Number.isFinite)) curves.zoom = zoom;

function keep() {
  const url = new URL(location), set = (name, value) => (value ? url.searchParams.set(name, value) : url.searchParams.delete(name));
  set("metric", curves.metric === "train_loss" ? "" : curves.metric);
  set("x", curves.x === "round" ? "" : curves.x);
  set("y", curves.y === "linear" ? "" : curves.y);
  set("smooth", smooth.value === smooth.defaultValue ? "" : smooth.value);
  set("only", [...curves.only].map((name) => name.replaceAll("%", "%25").replaceAll(",", "%2C")).join(","));
  set("zoom", curves.zoom ? curves.zoom.map((v) => Number(Number(v).toPrecision(5))).join(",") : "");
  set("spikes", curves.all ? "all" : "");
  if (url.href !== location.href) history.replaceState(null, "", url);
}
curves.onZoom = () => { keep(); lookCloser(); };

// ---- points

async function ask(more) {
  const answer = await fetch(`${card.dataset.url}?${question(curves, more)}`);
  if (!answer.ok || answer.redirected) throw new Error(`points: ${answer.status}`);
  return answer.json();
}

/** Until the server answers: it may just be restarting. */
async function loadForSure() {
  loaded = false;
  curves.metric ||= view.get("metric") ?? "";
  for (let wait = 500; ; wait = Math.min(2 * wait, 15_000)) {
    try { points.load(await ask()); break; } catch { await new Promise((resolve) => { setTimeout(resolve, wait); }); }
  }
  loaded = true;
  curves.detail = null;
  curves.laid = "";
  await drawAnew();
  flush();
  lookCloser();
}

/** Where points were left out, fetch those that are in sight. What comes meanwhile waits, so that none is missed. */
async function lookCloser() {
  if (!loaded || !points.thinned || !curves.zoom || curves.detail?.covers(curves)) return;
  const [from, to] = inRounds(curves), ids = points.having(curves.metric).filter(({ name }) => curves.only.has(name)).map(({ id }) => id);
  loaded = false;
  try {
    const data = await ask({ from, to, ...(ids.length ? { clients: ids.join(",") } : {}) });
    if (curves.zoom) curves.detail = new Detail(curves, data);
  } catch { /* the overview stays */ }
  loaded = true;
  await curves.draw();
  flush();
}

onEvents((events, url) => {
  if (url !== socket) return;
  waiting.push(...events.filter(({ kind }) => kind === "metrics.reported" || kind === "round.opened" || SEAT_ENDS.has(kind) || ANEW.has(kind)));
  plot.dataset.lastSeq = String(seen(url) ?? events.at(-1).seq);
  flush();
});
const SEAT_ENDS = new Set(["seat.dropped", "seat.failed", "seat.skipped", "update.received", "update.late"]);
const ANEW = new Set(["session.started", "round.reopened"]); // times count from another instant; seats are open again

const flush = throttled(100, () => {
  if (!loaded || !waiting.length) { state(); return; }
  const batch = waiting.filter(({ seq }) => seq > points.seq);
  waiting = [];
  const unknown = ({ kind, payload }) => kind === "metrics.reported" && !points.knows(payload.client.id); // the server knows its colour
  if (batch.some((event) => ANEW.has(event.kind) || unknown(event))) {
    waiting = batch;
    loadForSure();
    return;
  }
  let moved = false;
  const added = [];
  for (const { kind, seq, payload } of batch) {
    for (const one of [points, ...(curves.detail && seq > curves.detail.points.seq ? [curves.detail.points] : [])]) {
      if (kind === "round.opened") moved = one.retry(payload.round, payload.attempt) || moved;
      else if (SEAT_ENDS.has(kind)) moved = one.end(payload) || moved;
      else if (one.knows(payload.client.id)) {
        const found = one.add(payload);
        if (found && one === curves.source) added.push(found);
      }
    }
  }
  if (moved) curves.laid = "";
  if (!added.length && !moved) return;
  if (metrics() || plot.hidden) drawAnew(); else curves.append(added);
});

async function drawAnew() {
  metrics();
  if (!curves.metric) { state(); return; }
  plot.hidden = false;
  $("[data-no-curve]").hidden = true;
  $("[data-curves-foot]").hidden = false;
  await curves.draw();
}
curves.onDrawn = state;

/** What a test, and a person with the inspector, can read off the chart. */
function state() {
  const counts = points.counts(curves.metric), all = Object.values(counts).reduce((a, b) => a + b, 0);
  plot.dataset.points = JSON.stringify(counts);
  plot.dataset.metric = curves.metric;
  plot.dataset.lastSeq ??= String(points.seq);
  plot.dataset.ready = String(loaded);
  if (!all) return;
  const left = points.thinned && curves.source === points || curves.drawn < curves.whole;
  const drawn = left
    ? `${number(all)} points. Of each stretch the lowest, the highest and the last one are drawn; zoom in to see all.`
    : `${number(all)} points, every one ${curves.zoom ? "in sight " : ""}drawn.`;
  $("[data-count]").textContent = drawn;
  $("[data-spiky]").hidden = !curves.spiky;
  $("[data-how]").textContent = curves.many
    ? "Grey: each client. Band: from the 10 to the 90 % quantile, with the median. Press a name to bring a client out."
    : "Faint: as reported. Strong: smoothed. Press a name to isolate it, with Shift to add another.";
  $('[data-chart="all"]').hidden = !curves.only.size;
  $("[data-legend-filter]").hidden = curves.shown.length <= MANY;
  const values = curves.shown.map((client, i) => `${client.name} ${measured(curves.last(i))}`);
  plot.setAttribute("aria-label", `${named(curves.metric)} of ${curves.shown.length} clients over ${points.rounds} rounds. Now: ${values.slice(0, 6).join(", ")}${values.length > 6 ? " and more" : ""}. The values are in the list below.`);
}

/** The choice of metrics, of those that were reported. True if there are new ones. */
function metrics() {
  const box = $("[data-metrics]"), names = sorted(points.names);
  const wanted = curves.metric || view.get("metric"), metric = names.includes(wanted) ? wanted : points.metric ?? names[0] ?? "";
  if (metric) curves.metric = metric;
  if (names.join() === box.dataset.names) return false;
  box.dataset.names = names.join();
  box.className = names.length > MANY_METRICS ? "row" : "seg seg--scroll";
  box.role = names.length > MANY_METRICS ? "group" : "radiogroup";
  box.replaceChildren(...(names.length > MANY_METRICS ? metricList(names) : names.map((name) => choice("metric", name, named(name), name === curves.metric))));
  return true;
}

function choice(name, value, title, isChosen) {
  const input = el("input", { type: "radio", name, value });
  input.checked = isChosen;
  return el("label", {}, input, title);
}

/** Many metrics: a search, and a list in groups. */
function metricList(names) {
  const select = el("select", { class: "select select--s", name: "metric", "aria-label": "Metric" });
  const fill = (text) => {
    const found = matching(names, text), shown = found.includes(curves.metric) ? found : [curves.metric, ...found];
    select.replaceChildren(...[...grouped(shown)].map(([group, members]) => el("optgroup", { label: group }, ...members.map((name) => el("option", { value: name }, named(name))))));
    select.value = curves.metric;
  };
  const search = el("input", { class: "input", type: "search", placeholder: `Find one of ${number(names.length)} metrics`, "aria-label": "Find a metric", autocomplete: "off" });
  search.addEventListener("input", () => fill(search.value));
  fill("");
  return [search, select];
}

// ---- what one can do with the curves

card.addEventListener("input", async ({ target: { name, value } }) => {
  if (name === "smooth") { curves.weight = Number(value); smooth.nextElementSibling.textContent = curves.weight.toFixed(2); }
  else if (["metric", "x", "y"].includes(name)) { curves[name] = value; curves.zoom = null; curves.all = false; }
  else if (name === "find") { filterLegend(value); return; }
  else return;
  keep();
  if (!curves.metric) return;
  await curves.draw();
  if (points.thinned && (name === "smooth" || name === "x" || !points.holds(curves.metric))) loadSoon();
});
let soon = 0;
/** A large session's smoothing, metric and times come from the server: ask once one has stopped choosing. */
function loadSoon() { clearTimeout(soon); soon = setTimeout(loadForSure, 250); }
function filterLegend(text) {
  for (const button of legend.children) button.hidden = !button.dataset.name.toLowerCase().includes(text.toLowerCase());
}
legend.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) { curves.isolate(button.dataset.name, event.shiftKey || (curves.many && curves.only.size > 0 && !curves.only.has(button.dataset.name))); keep(); lookCloser(); }
});
const showAll = () => { curves.showAll(); keep(); lookCloser(); };
const resetZoom = () => { if (!plot.hidden) curves.reset(); };
card.addEventListener("click", (event) => {
  const act = event.target.closest("[data-chart]")?.dataset.chart;
  if (act === "reset") resetZoom();
  if (act === "all") showAll();
  if (act === "png" && !plot.hidden) savePng(plot, `${title} ${curves.metric}`.replace(/[^\w.-]+/g, "-"));
  if (act === "table") curveTable();
  if (act === "spikes") curves.reset();
});
document.addEventListener("keydown", (event) => {
  if (event.target.matches?.("input, select, textarea") || $("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "a") showAll();
  if (event.key === "r") resetZoom();
});
addEventListener("themechange", () => { if (!plot.hidden) curves.draw(); drawGlobal(); });

/** The phase of each client stands beside its name: taken from its lane, so that both say the same. */
function notes() {
  for (const lane of $$(".lane[data-client]")) {
    const note = legend.querySelector(`[data-name="${CSS.escape(lane.dataset.client)}"] .legend__note`), status = $(".status", lane);
    if (!note || !status || note.title === status.textContent) continue;
    const picture = $("svg", status).cloneNode(true);
    picture.setAttribute("class", `icon icon--s ${[...status.classList].find((c) => c.startsWith("tone-"))}`);
    note.title = status.textContent;
    note.replaceChildren(picture, el("span", { class: "sr" }, status.textContent));
  }
}
curves.onList = notes;

// ---- tables behind the charts

function showTable(heading, heads, rows) {
  const table = el("table", { class: "table" },
    el("thead", {}, el("tr", {}, ...heads.map((head, k) => el("th", { scope: "col", class: k ? "num" : "" }, head)))),
    el("tbody", {}, ...rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), ...rest.map((v) => el("td", { class: "num" }, v))))));
  const body = el("div", { class: "dialog" }, el("h2", { id: "dialog-title" }, heading), el("div", { class: "table-wrap" }, table), el("div", { class: "btn-row" }, el("button", { class: "btn", type: "button", "data-close": "" }, "Close")));
  $("#dialog-body").replaceChildren(body);
  $("#dialog").showModal();
}

function curveTable() {
  if (!curves.metric) return;
  showTable(`${named(curves.metric)} as a table`, ["Client", "Points", "Last", "Lowest", "Highest"], curves.shown.map((client, i) => {
    const finite = [...curves.lines[i].y.all].filter(Number.isFinite), whole = points.counts(curves.metric)[client.name] ?? 0;
    const [low, high] = finite.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    return [client.name, number(whole), ...[finite.at(-1), low, high].map((v) => measured(v))];
  }));
}

// ---- the global model

const globalPlot = $("#global"), measures = $("[data-measures]"), key = $("[data-global-key]");
const figures = () => JSON.parse($("#global-figures").textContent);

function drawGlobal() {
  const all = figures(), names = Object.keys(all), chosen = $("[name=measure]:checked")?.value, name = names.includes(chosen) ? chosen : names[0];
  if (measures.dataset.names !== names.join()) {
    measures.dataset.names = names.join();
    measures.replaceChildren(...names.map((one) => choice("measure", one, capital(titleOf(one)), one === name)));
  }
  const none = !name;
  globalPlot.hidden = none;
  key.hidden = none;
  $("[data-no-global]").hidden = !none;
  measures.hidden = names.length < 2;
  if (none) return;
  const { data } = all[name], best = data.find((trace) => trace.meta === "best");
  for (const meta of ["central", "federated"]) $(`[data-key="${meta}"]`, key).hidden = !data.some((trace) => trace.meta === meta);
  const value = measured(best.y[0]);
  $("[data-best]").textContent = `best, v${best.x[0]}: ${value}`;
  globalPlot.dataset.versions = String(Math.max(...data.map((trace) => trace.x.length)));
  globalPlot.setAttribute("aria-label", `${name} by version; the best is ${value} in v${best.x[0]}`);
  drawFigure(globalPlot, all[name]);
}
measures.addEventListener("input", drawGlobal);
$("[data-global-table]").addEventListener("click", () => {
  const all = figures(), columns = Object.entries(all).flatMap(([name, { data }]) => data.filter((t) => t.meta !== "best").map((t) => ({ head: `${name}, ${t.meta}`, at: new Map(t.x.map((x, i) => [x, t.y[i]])) })));
  const versions = [...new Set(columns.flatMap(({ at }) => [...at.keys()]))].sort((a, b) => b - a);
  showTable("The global model as a table", ["Version", ...columns.map(({ head }) => head)], versions.map((v) => [`v${v}`, ...columns.map(({ at }) => at.get(v)?.toFixed(4) ?? "–")]));
});

// ---- fragments that came

let told = $("[data-why]")?.dataset.why;
/** A fragment's own view, such as which events one wants to see, stays in the address: data-keeps names its parameters. */
function keepFragment({ dataset: { keeps, query } }) {
  const url = new URL(location), chosen = new URLSearchParams(query);
  for (const name of keeps.split(" ")) {
    if (chosen.get(name)) url.searchParams.set(name, chosen.get(name)); else url.searchParams.delete(name);
  }
  if (url.href !== location.href) history.replaceState(null, "", url);
}
/** An answer that does not know what somebody chose or typed since is passed over: the form asks again in a moment. */
document.addEventListener("htmx:beforeSwap", ({ detail }) => { if (isOld(detail) || isTyped(detail)) detail.shouldSwap = false; });
const more = new WeakSet(); // forms in which somebody chose again before the answer came
document.addEventListener("htmx:trigger", ({ target }) => { if (target.matches("form.htmx-request")) more.add(target); });
const isOld = ({ requestConfig: { elt } }) => more.delete(elt);
/** Whether somebody typed more into the fragment than its answer knows of. */
function isTyped({ target, requestConfig: { elt, formData } }) {
  const input = document.activeElement;
  if (!target.contains(input) || input.type !== "search") return false;
  return input.value !== (elt.contains(input) && elt !== target ? formData.get(input.name) : input.defaultValue);
}
document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
  const fragment = document.getElementById(target.id);
  if (fragment?.dataset.keeps) keepFragment(fragment);
  if (target.id === "history" || target.id === "now") { drawGlobalOnce(); notes(); }
  const why = $("[data-why]");
  if (why && why.dataset.why !== told) { // a screen reader hears the first reason, and only when the reasons change
    if (told !== undefined) $("#say").textContent = $("li", why)?.textContent.trim() ?? "";
    told = why.dataset.why;
  }
});
let drawnFigures = "";
function drawGlobalOnce() {
  const text = $("#global-figures").textContent;
  if (text !== drawnFigures) { drawnFigures = text; drawGlobal(); }
}

drawGlobalOnce();
loadForSure();
