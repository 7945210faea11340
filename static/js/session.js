// A session's page: the live curves and the global model's chart. The rest of the page is fragments.
/* global Plotly */
import { Curves, isShare } from "./curves.js";
import { el, number, throttled } from "./dom.js";
import { onEvents, seen } from "./live.js";
import { drawFigure, savePng } from "./plot.js";
import { Points } from "./points.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const card = $("[data-curves]"), plot = $("#curves"), legend = $("[data-legend]"), title = $("h1").textContent;
const socket = [...document.querySelectorAll("meta[name=follow]")].map((meta) => meta.content).find((url) => url.startsWith("/ws/sessions/"));

const TITLES = {
  train_loss: "Training loss", val_loss: "Validation loss", val_accuracy: "Validation accuracy",
  base_val_loss: "Received model's loss", base_val_accuracy: "Received model's accuracy",
};
const ORDER = Object.keys(TITLES);
const named = (metric) => TITLES[metric] ?? metric;

const points = new Points();
const curves = new Curves(plot, points, { readout: $("[data-readout]"), legend });
let waiting = []; // events that came before the points were there, or while they are drawn
let loaded = false, drawing = false;

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
if (view.get("only")) curves.only = new Set(view.get("only").split(","));
const zoom = (view.get("zoom") ?? "").split(",").map(Number);
if (zoom.length === 4 && zoom.every(Number.isFinite)) curves.start = zoom;

function keep() {
  const url = new URL(location), set = (name, value) => (value ? url.searchParams.set(name, value) : url.searchParams.delete(name));
  set("metric", curves.metric === "train_loss" ? "" : curves.metric);
  set("x", curves.x === "round" ? "" : curves.x);
  set("y", curves.y === "linear" ? "" : curves.y);
  set("smooth", smooth.value === smooth.defaultValue ? "" : smooth.value);
  set("only", [...curves.only].join(","));
  set("zoom", curves.zoom ? curves.zoom.map((v) => Number(Number(v).toPrecision(5))).join(",") : "");
  if (url.href !== location.href) history.replaceState(null, "", url);
}
curves.onZoom = keep;

// ---- points

async function load() {
  const answer = await fetch(card.dataset.url);
  if (!answer.ok || answer.redirected) throw new Error(`points: ${answer.status}`);
  points.load(await answer.json());
  loaded = true;
}

/** Until the server answers: it may just be restarting. */
async function loadForSure() {
  for (let wait = 500; ; wait = Math.min(2 * wait, 15_000)) {
    try { await load(); break; } catch { await new Promise((resolve) => { setTimeout(resolve, wait); }); }
  }
  await drawAnew();
  flush();
}

onEvents((events, url) => {
  if (url !== socket) return;
  waiting.push(...events.filter((event) => event.kind === "metrics.reported"));
  plot.dataset.lastSeq = String(seen(url) ?? events.at(-1).seq);
  flush();
});

const flush = throttled(200, async () => {
  if (!loaded || drawing || !waiting.length) { state(); return; }
  const batch = waiting;
  waiting = [];
  if (batch.some(({ payload }) => !points.knows(payload.client.id))) { // somebody joined: the server knows its colour
    loaded = false;
    waiting = batch.concat(waiting);
    loadForSure();
    return;
  }
  const added = batch.map(({ payload }) => points.add(payload)).filter(Boolean);
  if (!added.length) return;
  drawing = true;
  try {
    if (metrics() || plot.hidden) await drawAnew(); else await curves.append(added);
  } finally { drawing = false; }
  state();
  if (waiting.length) flush();
});

async function drawAnew() {
  metrics();
  if (!curves.metric) { state(); return; }
  plot.hidden = false;
  $("[data-no-curve]").hidden = true;
  $("[data-curves-foot]").hidden = false;
  curves.wasSparse = curves.sparse;
  await curves.draw();
  state();
}

/** What a test, and a person with the inspector, can read off the chart. */
function state() {
  const counts = points.counts(curves.metric), all = Object.values(counts).reduce((a, b) => a + b, 0);
  plot.dataset.points = JSON.stringify(counts);
  plot.dataset.metric = curves.metric;
  plot.dataset.lastSeq ??= String(points.seq);
  plot.dataset.ready = String(loaded);
  if (!all) return;
  const drawn = curves.drawn < curves.whole
    ? `${number(curves.drawn)} of ${number(all)} points are drawn, with every lowest and highest one; zoom in to see all.`
    : `${number(all)} points${curves.whole < all && curves.zoom ? "" : ", every one drawn"}.`;
  $("[data-count]").textContent = drawn;
  $('[data-chart="all"]').hidden = !curves.only.size;
  const values = curves.shown.map((client, i) => `${client.name} ${curves.format(curves.last(i))}`);
  plot.setAttribute("aria-label", `${named(curves.metric)} of ${curves.shown.length} clients over ${points.rounds} rounds. Now: ${values.slice(0, 6).join(", ")}${values.length > 6 ? " and more" : ""}. The values are in the list below.`);
}

/** The choice of metrics, of those that were reported. True if there are new ones. */
function metrics() {
  const box = $("[data-metrics]"), rank = (name) => (ORDER.indexOf(name) + 1 || 99);
  const names = [...points.names].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  if (names.join() === box.dataset.names) return false;
  box.dataset.names = names.join();
  const wanted = curves.metric || view.get("metric");
  const metric = names.includes(wanted) ? wanted : names[0] ?? "";
  if (metric) curves.metric = metric;
  box.replaceChildren(...names.map((name) => {
    const input = el("input", { type: "radio", name: "metric", value: name });
    input.checked = name === curves.metric;
    return el("label", {}, input, named(name));
  }));
  return true;
}

// ---- what one can do with the curves

card.addEventListener("input", async ({ target: { name, value } }) => {
  if (name === "smooth") { curves.weight = Number(value); smooth.nextElementSibling.textContent = curves.weight.toFixed(2); }
  else if (["metric", "x", "y"].includes(name)) curves[name] = value;
  else return;
  if (curves.metric) await curves.draw();
  state();
  keep();
});
legend.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) { curves.isolate(button.dataset.name, event.shiftKey); state(); keep(); }
});
const showAll = () => { curves.showAll(); state(); keep(); };
const resetZoom = () => { if (!plot.hidden) Plotly.relayout(plot, { "xaxis.autorange": true, "yaxis.autorange": true }); };
card.addEventListener("click", (event) => {
  const act = event.target.closest("[data-chart]")?.dataset.chart;
  if (act === "reset") resetZoom();
  if (act === "all") showAll();
  if (act === "png" && !plot.hidden) savePng(plot, `${title} ${curves.metric}`.replace(/[^\w.-]+/g, "-"));
  if (act === "table") curveTable();
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
  showTable(`${named(curves.metric)} as a table`, ["Client", "Points", "Last", "Lowest", "Highest"], curves.shown.map((client) => {
    const values = points.curve(client.id, curves.metric, "step", true).y, finite = values.filter((v) => v !== null);
    const [low, high] = finite.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    return [client.name, number(values.length), ...[finite.at(-1), low, high].map((v) => curves.format(Number.isFinite(v) ? v : null))];
  }));
}

// ---- the global model

const globalPlot = $("#global"), measures = $("[data-measures]"), key = $("[data-global-key]");
const figures = () => JSON.parse($("#global-figures").textContent);

function drawGlobal() {
  const all = figures(), names = Object.keys(all), chosen = $("[name=measure]:checked").value, name = all[chosen] ? chosen : names[0];
  const none = !name;
  globalPlot.hidden = none;
  key.hidden = none;
  $("[data-no-global]").hidden = !none;
  measures.hidden = names.length < 2;
  if (none) return;
  const { data } = all[name], best = data.find((trace) => trace.meta === "best");
  for (const meta of ["central", "federated"]) $(`[data-key="${meta}"]`, key).hidden = !data.some((trace) => trace.meta === meta);
  const value = isShare(name) || name === "accuracy" ? `${(100 * best.y[0]).toFixed(1)} %` : best.text[0];
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
document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
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
