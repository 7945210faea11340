// A session's page: the live curves and the global model's chart. The rest of the page is fragments.
import { startCounts } from "./counts.js";
import { Curves } from "./curves.js";
import { all, one } from "./dom.js";
import { onEvents, seen } from "./live.js";
import { Points } from "./points.js";
import { CurveCard } from "./session/curve-card.js";
import { startFragments } from "./session/fragments.js";
import { GlobalModel } from "./session/global-model.js";
import { Loading } from "./session/loading.js";
import { measureOf } from "./session/metric-names.js";
import { showPhases } from "./session/phases.js";

const card = one("[data-curves]");
const plot = /** @type {PlotlyNode} */ (one("#curves"));
const legend = one("[data-legend]");
const follows = /** @type {HTMLMetaElement[]} */ (all("meta[name=follow]")).map(({ content }) => content);
const socket = follows.find((url) => url.startsWith("/ws/sessions/"));

const phrases = new Map(Object.entries(JSON.parse(one("#measure-phrases").textContent ?? "{}")));
const readout = one("[data-readout]");
const epochs = Number(card.dataset.epochs) || 1;
const curves = new Curves(plot, new Points(), { readout, legend, epochs, measureOf });
const curveCard = new CurveCard(card, curves, phrases);
const loading = new Loading(curves, card.dataset.url ?? "", {
  drawAnew: () => curveCard.drawAnew(),
  append: (added) => curveCard.append(added),
  show: () => curveCard.show(),
});
const globalModel = new GlobalModel(phrases);

onEvents((events, url) => {
  if (url !== socket) return;
  plot.dataset.lastSeq = String(seen(url) ?? events.at(-1)?.seq);
  loading.hear(events);
});
curveCard.start(loading);
curves.legend.onList = () => showPhases(legend);
addEventListener("themechange", () => {
  if (!plot.hidden) curves.draw();
  globalModel.draw();
});
startFragments((id) => {
  if (id !== "history" && id !== "now") return;
  globalModel.drawNew();
  showPhases(legend);
});

startCounts();
globalModel.drawNew();
loading.load();
