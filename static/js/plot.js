// Plotly in the product's own look. Colours come from the tokens, so that a theme switch is one redraw.
/* global Plotly */
const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

/** The computed value of a colour token: light-dark() is only resolved on a real property. */
export function color(token) {
  probe.style.color = `var(--${token})`;
  return getComputedStyle(probe).color;
}
export const alpha = (rgb, a) => rgb.replace(/^rgba?\(([^)]+)\)$/, (_, c) => `rgba(${c.split(/[ ,/]+/).slice(0, 3).join(", ")}, ${a})`);

export const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false, showTips: false };

function axis(more = {}) {
  return {
    gridcolor: color("grid"), gridwidth: 1, zeroline: false, showline: false, ticks: "", tickfont: { color: color("axis"), size: 11 },
    tickformat: "~g", automargin: false, fixedrange: false, ...more, title: { font: { size: 11, color: color("axis") }, standoff: 4, text: "", ...more.title },
  };
}

export function layout({ x = {}, y = {}, ...more } = {}) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 44, r: 14, t: 6, b: 26 }, showlegend: false,
    font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: color("axis") },
    hovermode: "x", hoverdistance: 40, spikedistance: -1, dragmode: "zoom", uirevision: "keep",
    // No `transition`, not even of 0 ms: with one, react() moves the axes itself and they count as zoomed by hand afterwards.
    hoverlabel: { bgcolor: color("raised"), bordercolor: color("line-2"), font: { color: color("text"), size: 12 } },
    xaxis: axis({ showspikes: true, spikemode: "across", spikesnap: "hovered data", spikethickness: 1, spikedash: "solid", spikecolor: color("crosshair"), ...x }),
    yaxis: axis({ nticks: 6, ...y }), ...more,
  };
}

const INK = { central: () => color("global"), federated: () => alpha(color("global"), 0.65), best: () => color("ok") };

/** Draw a figure that the server made without colours: `meta` says what a trace is. */
export function drawFigure(node, figure) {
  const data = figure.data.map((trace) => {
    const ink = INK[trace.meta]();
    return { ...trace, line: { ...trace.line, color: ink }, marker: { size: 6, ...trace.marker, color: ink }, textfont: { size: 11, color: ink } };
  });
  const { xaxis, yaxis } = figure.layout;
  const look = layout({ margin: { l: 36, r: 12, t: 18, b: 36 }, x: { fixedrange: true, showgrid: false, ...xaxis }, y: { fixedrange: true, ...yaxis } });
  return Plotly.react(node, data, look, CONFIG);
}

export function savePng(node, filename) {
  const picture = { data: node.data, layout: { ...node.layout, paper_bgcolor: color("surface"), width: undefined, height: undefined } };
  return Plotly.downloadImage(picture, { format: "png", width: 1600, height: 800, filename });
}
