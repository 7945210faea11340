// What the scripts use of htmx and Plotly, and the events of their own: for the type checker alone.

interface HtmxRequest {
  elt: HTMLElement;
  verb: string;
  formData: FormData;
  triggeringEvent?: Event;
}

interface HtmxDetail {
  /** The element that asked. */
  elt: HTMLElement;
  /** The element that the answer fills. */
  target: HTMLElement;
  xhr: XMLHttpRequest;
  requestConfig: HtmxRequest;
  shouldSwap: boolean;
  successful: boolean;
  failed: boolean;
}

type HtmxEvent = CustomEvent<HtmxDetail>;

interface HtmxEventMap {
  "htmx:trigger": HtmxEvent;
  "htmx:beforeRequest": HtmxEvent;
  "htmx:beforeSend": HtmxEvent;
  "htmx:beforeSwap": HtmxEvent;
  "htmx:afterSwap": HtmxEvent;
  "htmx:afterRequest": HtmxEvent;
  "htmx:responseError": HtmxEvent;
  "htmx:sendError": HtmxEvent;
  "htmx:timeout": HtmxEvent;
}

interface DocumentEventMap extends HtmxEventMap {
  resume: Event;
}

interface HTMLElementEventMap extends HtmxEventMap {
  toast: CustomEvent<{ sentence: string; icon?: string; tone?: string }>;
}

interface WindowEventMap {
  themechange: Event;
}

// ---- Plotly

type Extent = [from: number, to: number];

interface PlotlyTrace {
  name?: string;
  meta?: string;
  x: ArrayLike<number | null>;
  y: ArrayLike<number | null>;
  [option: string]: unknown;
}

interface PlotlyAxis {
  range: Extent;
  /** From a value to pixels, in two steps: the second of a logarithm, where the axis has one. */
  l2p(value: number): number;
  d2l(value: number): number;
}

interface PlotlyPoint {
  x: number;
  y: number;
  data: PlotlyTrace;
}

interface PlotlyHover {
  xvals?: number[];
  points: PlotlyPoint[];
  event: MouseEvent;
}

interface PlotlyNode extends HTMLElement {
  data: PlotlyTrace[];
  layout: Record<string, unknown>;
  _fullLayout: { xaxis: PlotlyAxis; yaxis: PlotlyAxis };
  on(name: "plotly_hover", act: (event: PlotlyHover) => void): void;
  on(name: "plotly_unhover" | "plotly_doubleclick", act: () => void): void;
  on(name: "plotly_relayout", act: (change: Record<string, unknown>) => void): void;
}

declare const Plotly: {
  react(node: HTMLElement, data: PlotlyTrace[], layout: object, config: object): Promise<void>;
  relayout(node: HTMLElement, change: object): Promise<void>;
  downloadImage(picture: object, how: object): Promise<void>;
};
