// Plotly in the product's own look. Colours come from the tokens, so that a theme switch is one redraw.
const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

/**
 * The computed value of a colour token: light-dark() is only resolved on a real property.
 * @param {string} token
 */
export function color(token) {
  probe.style.color = `var(--${token})`;
  return getComputedStyle(probe).color;
}

/**
 * @param {string} rgb
 * @param {number} a
 */
export const alpha = (rgb, a) =>
  rgb.replace(
    /^rgba?\(([^)]+)\)$/,
    (_, channels) =>
      `rgba(${channels
        .split(/[ ,/]+/)
        .slice(0, 3)
        .join(", ")}, ${a})`,
  );

export const CONFIG = {
  displayModeBar: false,
  responsive: true,
  doubleClick: false,
  scrollZoom: false,
  showTips: false,
};

/** @typedef {Record<string, unknown>} Options as Plotly knows them */

/** @param {Options & { title?: object }} more */
function axis(more) {
  return {
    gridcolor: color("grid"),
    gridwidth: 1,
    zeroline: false,
    showline: false,
    ticks: "",
    tickfont: { color: color("axis"), size: 11 },
    tickformat: "~g",
    automargin: false,
    fixedrange: false,
    ...more,
    title: { font: { size: 11, color: color("axis") }, standoff: 4, text: "", ...more.title },
  };
}

const spikes = () => ({
  showspikes: true,
  spikemode: "across",
  spikesnap: "hovered data",
  spikethickness: 1,
  spikedash: "solid",
  spikecolor: color("crosshair"),
});

/**
 * No `transition`, not even of 0 ms: with one, react() moves the axes itself, and they count as zoomed by hand then.
 * @param {Options & { x?: Options, y?: Options }} options
 */
export function layout({ x = {}, y = {}, ...more }) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 44, r: 14, t: 6, b: 26 },
    showlegend: false,
    font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: color("axis") },
    hovermode: "x",
    hoverdistance: 40,
    spikedistance: -1,
    dragmode: "zoom",
    uirevision: "keep",
    hoverlabel: { bgcolor: color("raised"), bordercolor: color("line-2"), font: { color: color("text"), size: 12 } },
    xaxis: axis({ ...spikes(), ...x }),
    yaxis: axis({ nticks: 6, ...y }),
    ...more,
  };
}

/** @type {Map<string | undefined, () => string>} */
const INK = new Map([
  ["central", () => color("global")],
  ["federated", () => alpha(color("global"), 0.65)],
  ["best", () => color("ok")],
]);

/** @typedef {{ data: PlotlyTrace[], layout: { xaxis: Options, yaxis: Options } }} Figure */

/**
 * Draw a figure that the server made without colours: `meta` says what a trace is.
 * @param {HTMLElement} node
 * @param {Figure} figure
 */
export function drawFigure(node, figure) {
  const { xaxis, yaxis } = figure.layout;
  const look = layout({
    margin: { l: 36, r: 12, t: 18, b: 36 },
    x: { fixedrange: true, showgrid: false, ...xaxis },
    y: { fixedrange: true, ...yaxis },
  });
  return Plotly.react(node, figure.data.map(inked), look, CONFIG);
}

/** @param {PlotlyTrace} trace */
function inked(trace) {
  const ink = INK.get(trace.meta)?.();
  const { line, marker } = /** @type {Record<string, object | undefined>} */ (trace);
  return {
    ...trace,
    line: { ...line, color: ink },
    marker: { size: 6, ...marker, color: ink },
    textfont: { size: 11, color: ink },
  };
}

/**
 * @param {PlotlyNode} node
 * @param {string} filename
 */
export function savePng(node, filename) {
  const look = { ...node.layout, paper_bgcolor: color("surface"), width: undefined, height: undefined };
  const picture = { data: node.data, layout: look };
  return Plotly.downloadImage(picture, { format: "png", width: 1600, height: 800, filename });
}

/**
 * The range that a person zoomed to; null for another change, such as a new size.
 * @param {Options} change as plotly_relayout reports it
 * @param {PlotlyNode} node
 * @returns {number[] | null}
 */
export function zoomed(change, node) {
  if (!Object.keys(change).some((key) => /^[xy]axis\.range/.test(key))) return null;
  const { xaxis, yaxis } = node._fullLayout;
  return [...xaxis.range, ...yaxis.range];
}

/**
 * Show a read-out beside the pointer: to its right, or to its left where the right has no room.
 * @param {HTMLElement} readout
 * @param {HTMLElement} plot
 * @param {MouseEvent} event
 * @param {(room: number) => number} top px, of the room that its height leaves
 */
export function showReadout(readout, plot, event, top) {
  const box = plot.getBoundingClientRect();
  readout.hidden = false;
  const left = event.clientX - box.left;
  const isFull = left > box.width - 250;
  const x = isFull ? left - readout.offsetWidth - 16 : left + 16;
  readout.style.transform = `translate(${Math.round(x)}px, ${Math.round(top(box.height - readout.offsetHeight))}px)`;
}
