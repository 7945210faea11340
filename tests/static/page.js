// The little of a page that modules need where no browser is: elements that hear events, and requests.

/** An element: it has an id, hears events, and counts as on the page. */
export class Part extends EventTarget {
  constructor(id = "") {
    super();
    this.id = id;
    this.isConnected = true;
  }
}

/** A request that htmx sends. */
export class Request extends EventTarget {
  constructor(redirect = null) {
    super();
    this.redirect = redirect;
  }

  getResponseHeader(name) {
    return name === "HX-Redirect" ? this.redirect : null;
  }

  end() {
    this.dispatchEvent(new Event("loadend"));
  }
}

/** A document without elements, and a window; both hear events. */
export function makePage() {
  const page = new EventTarget();
  const document = Object.assign(new EventTarget(), { body: new EventTarget(), readyState: "complete" });
  Object.assign(globalThis, {
    document,
    addEventListener: page.addEventListener.bind(page),
    dispatchEvent: page.dispatchEvent.bind(page),
  });
  return { document, page };
}
