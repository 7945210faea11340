// The picture of a model's lineage.
import { first } from "./dom.js";

/** Where the picture is wider than its place, begin at the page's own model. */
export function scrollToModel() {
  const here = /** @type {SVGGElement | null} */ (first(".lineage .is-here"));
  const box = here?.closest(".lineage");
  if (!here || !box) return;
  const { x, width } = here.getBBox();
  box.scrollLeft = x - (box.clientWidth - width) / 2;
}
