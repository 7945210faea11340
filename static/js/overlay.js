// Several lines on one chart: sessions beside each other, or what one client did in each of its sessions.
/* global Plotly */
import { el, measured } from "./dom.js";
import { CONFIG, alpha, color, layout, savePng } from "./plot.js";

const $ = (selector, root = document) => root.querySelector(selector);
const card = $("[data-overlay]");
const DASHES = ["solid", "solid", "solid", "solid", "6px,3px", "6px,3px", "2px,2px", "2px,2px"]; // five and more: not by colour alone

if (card) {
  const plot = $("#overlay"), legend = $("[data-legend]", card), readout = $("[data-readout]", card), form = $("[data-overlay-form]", card);
  const view = new URLSearchParams(location.search), log = $("[name=y][value=log]", form), asZoom = (text) => text.split(",").map(Number);
  let data = null, isolated = view.get("only") ?? "", zoom = asZoom(view.get("zoom") ?? ""), drawn = "";
  if (zoom.length !== 4 || !zoom.every(Number.isFinite)) zoom = null;
  if (view.get("y") === "log" && log) log.checked = true;

  const asked = () => Object.fromEntries(new FormData(form));
  const shown = (metric) => data.series.filter((one) => one.y.get(metric)?.some((v) => v !== null));

  function traces(metric, x) {
    return shown(metric).map((one) => {
      const ink = color(one.colour), on = !isolated || isolated === one.name, dash = DASHES[(one.number - 1) % DASHES.length];
      const few = one.y.get(metric).filter((v) => v !== null).length < 2;
      const line = { width: isolated === one.name ? 2.5 : 1.75, dash, color: on ? ink : alpha(ink, 0.16) };
      return {
        type: "scatter", mode: few ? "markers" : "lines", name: one.name, x: one.x[x], y: one.y.get(metric), line,
        connectgaps: true, hoverinfo: "none", marker: { size: 7, color: ink },
      };
    });
  }

  async function draw() {
    const { metric = "", x = "round", y = "linear" } = asked(), lines = data ? shown(metric) : [];
    plot.hidden = !lines.length;
    $("[data-no-overlay]", card).hidden = lines.length > 0;
    list(lines, metric);
    if (!lines.length) return;
    const part = (from) => (zoom ? { range: zoom.slice(from, from + 2), autorange: false } : {});
    const look = layout({
      margin: { l: 48, r: 14, t: 6, b: 38 },
      x: { title: { text: data.axes[x] }, rangemode: "tozero", ...part(0) },
      y: { type: y === "log" ? "log" : "linear", tickformat: "~g", ...part(2) },
      uirevision: `${metric}/${x}/${y}`,
    });
    await Plotly.react(plot, traces(metric, x), look, CONFIG);
    plot.dataset.lines = String(lines.length);
    $("[data-overlay-foot]", card).textContent = `${metric ? `${metric[0].toUpperCase()}${metric.slice(1)}, by ${data.axes[x]}.` : ""}${data.thinned ? " Of long sessions every n-th model is drawn, and the last." : ""} Press a name to isolate it.`;
    if (plot.dataset.wired) return;
    plot.dataset.wired = "1";
    plot.on("plotly_hover", hover);
    plot.on("plotly_unhover", () => { readout.hidden = true; });
    plot.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((key) => /^[xy]axis\.(range|autorange)/.test(key))) return; // a new size, say
      const { xaxis, yaxis } = plot._fullLayout;
      zoom = change["xaxis.autorange"] ? null : [...xaxis.range, ...yaxis.range];
      keep();
    });
  }

  function sample(one) {
    const box = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    box.setAttribute("class", `swatch c-${one.colour}`);
    box.setAttribute("viewBox", "0 0 20 10");
    box.setAttribute("aria-hidden", "true");
    for (const [name, value] of Object.entries({ x1: 0, x2: 20, y1: 5, y2: 5 })) line.setAttribute(name, value);
    if (one.number > 4) line.setAttribute("stroke-dasharray", one.number > 6 ? "2 2" : "6 3");
    box.append(line);
    return box;
  }

  function list(lines, metric) {
    legend.replaceChildren(...lines.map((one) => {
      const name = el("span", { class: "client" }, sample(one), el("span", { class: "client__name" }, one.name));
      const last = measured(one.y.get(metric).findLast((v) => v !== null));
      const pressed = { type: "button", "aria-pressed": String(isolated === one.name) };
      const button = el("button", pressed, name, el("span"), el("span", { class: "legend__value" }, last));
      button.addEventListener("click", () => { isolated = isolated === one.name ? "" : one.name; keep(); draw(); });
      return button;
    }));
    legend.toggleAttribute("data-isolating", isolated !== "");
  }

  function hover({ points, event }) {
    const { metric, x } = asked(), box = plot.getBoundingClientRect();
    readout.replaceChildren(el("div", { class: "readout__x" }, `${data.axes[x]} ${Number(points[0].x.toPrecision(4))}`), ...points.slice(0, 8).map((p) => el("div", { class: "readout__row" }, el("span", { class: "clip" }, p.data.name), el("span", {}, measured(p.y)))));
    readout.hidden = false;
    const left = event.clientX - box.left, right = left > box.width - 250;
    readout.style.transform = `translate(${Math.round(right ? left - readout.offsetWidth - 16 : left + 16)}px, 8px)`;
  }

  function keep() {
    const url = new URL(location), set = (name, value) => (value ? url.searchParams.set(name, value) : url.searchParams.delete(name));
    for (const [name, value] of Object.entries(asked())) {
      const first = $(`[name="${name}"]`, form), usual = first.tagName === "SELECT" ? first.options[0]?.text : first.value;
      set(name, value === usual ? "" : value);
    }
    set("only", isolated);
    set("zoom", zoom?.map((at) => Number(Number(at).toPrecision(5))).join(","));
    history.replaceState(null, "", url);
  }

  // ---- as a table, as a file

  const rows = () => {
    const { metric, x } = asked();
    const all = shown(metric).flatMap((one) => one.x[x].map((at, i) => [one.name, at, one.y.get(metric)[i]]));
    return all.filter(([, , value]) => value !== null);
  };
  const quoted = (value) => { // no spreadsheet takes a name for a formula
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const acts = {
    reset: () => Plotly.relayout(plot, { "xaxis.autorange": true, "yaxis.autorange": true }),
    png: () => savePng(plot, "comparison"),
    csv() {
      const { metric, x } = asked(), text = [["name", data.axes[x], metric], ...rows()].map((row) => row.map(quoted).join(",")).join("\n");
      const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "comparison.csv" });
      link.click();
      URL.revokeObjectURL(link.href);
    },
    table() {
      const { metric, x } = asked(), head = el("tr", {}, ...["Name", data.axes[x], metric].map((name) => el("th", { scope: "col" }, name)));
      const body = rows().map(([name, at, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "num" }, String(Number(at.toPrecision(5)))), el("td", { class: "num" }, measured(value))));
      const close = el("button", { class: "btn", type: "button", "data-close": "" }, "Close");
      $("#dialog-body").replaceChildren(el("div", { class: "dialog" }, el("h2", { id: "dialog-title" }, "As a table"), el("div", { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "Values" }, el("table", { class: "table" }, el("thead", {}, head), el("tbody", {}, ...body))), el("div", { class: "btn-row" }, close)));
      $("#dialog").showModal();
    },
  };
  card.addEventListener("click", ({ target }) => { const act = target.closest("[data-overlay-do]"); if (act && data && !plot.hidden) acts[act.dataset.overlayDo](); else if (act?.dataset.overlayDo === "table" && data) acts.table(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => { zoom = null; keep(); draw(); });
  addEventListener("themechange", draw);

  function read() {
    const text = $("#overlay-data")?.textContent ?? "";
    if (!text || text === drawn) return;
    drawn = text;
    data = JSON.parse(text);
    for (const one of data.series) one.y = new Map(Object.entries(one.y)); // names of measures come from clients
    if (!data.series.some(({ name }) => name === isolated)) isolated = "";
    const menu = $("[name=metric]", form), known = [...menu.options].map((option) => option.value);
    const measured = [...new Set(data.series.flatMap((one) => [...one.y.keys()]))];
    if (!known.some((name) => measured.includes(name)) && measured.length) menu.replaceChildren(...measured.map((name) => el("option", {}, name)));
    draw();
  }
  document.addEventListener("htmx:afterSwap", read);
  read();
}

const compared = $("#compare-form");
compared?.addEventListener("click", ({ target }) => {
  const drop = target.closest("[data-drop]");
  if (!drop) return;
  drop.closest(".chip").remove();
  compared.requestSubmit();
});
compared?.addEventListener("submit", () => {
  const add = $("#add-session");
  if (add && !add.value) add.disabled = true;
  for (const [name, value] of new URLSearchParams(location.search)) if (name !== "s") compared.append(el("input", { type: "hidden", name, value })); // the view stays
});
$("#add-session")?.addEventListener("change", () => compared.requestSubmit());
