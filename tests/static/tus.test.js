import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Refused, Upload } from "../../static/js/tus.js";

const URL_OF_IT = "/api/v1/models/uploads/7";
const STORED = { id: "7", name: "häuser.pt", status: "stored", digest: "abc", num_bytes: 10, error: null };
const file = new File(["0123456789"], "häuser.pt");

/** A server that keeps what comes. `failing` has what it answers instead, one after the other. */
class Server {
  constructor() {
    this.kept = "";
    this.asked = [];
    this.failing = [];
    this.told = [STORED];
  }

  async fetch(url, { method, headers, body, signal }) {
    signal?.throwIfAborted();
    this.asked.push(method);
    const failure = this.failing[0]?.on === method && this.failing.shift();
    if (failure?.half) this.kept += (await body.text()).slice(0, failure.half);
    if (failure?.status) return Response.json({ detail: failure.detail }, { status: failure.status });
    if (failure) throw new TypeError("Failed to fetch");
    assert.equal(headers["Tus-Resumable"], "1.0.0");
    assert.equal(headers["X-CSRFToken"], "token");
    return this[method](url, headers, body);
  }

  POST(_url, headers) {
    assert.equal(headers["Upload-Length"], "10");
    const [, name] = headers["Upload-Metadata"].split(" ");
    assert.equal(Buffer.from(name, "base64").toString(), "häuser.pt");
    return new Response(null, { status: 201, headers: { Location: URL_OF_IT, "Upload-Offset": "0" } });
  }

  async PATCH(url, headers, body) {
    assert.equal(url, URL_OF_IT);
    assert.equal(headers["Upload-Offset"], String(this.kept.length));
    this.kept += await body.text();
    return this.HEAD();
  }

  HEAD() {
    return new Response(null, { status: 200, headers: { "Upload-Offset": String(this.kept.length) } });
  }

  GET() {
    return Response.json(this.told.length > 1 ? this.told.shift() : this.told[0]);
  }

  DELETE() {
    return new Response(null, { status: 204 });
  }
}

let server;
let paused;
let seen;
let conversions;
let places;

beforeEach(() => {
  server = new Server();
  [paused, seen, conversions, places] = [[], [], 0, []];
  globalThis.fetch = (url, init) => server.fetch(url, init);
});

function upload(at) {
  return new Upload({
    url: "/api/v1/models/uploads",
    at,
    file,
    token: "token",
    partBytes: 4,
    onPlace: (location) => places.push(location),
    onProgress: (bytes) => seen.push(bytes),
    onConversion: () => {
      conversions += 1;
    },
    pause: async (ms) => {
      paused.push(ms);
    },
  });
}

const send = (one = upload()) => one.send(new AbortController().signal);

test("a file goes in parts, and the server says what became of it", async () => {
  assert.deepEqual(await send(), STORED);
  assert.equal(server.kept, "0123456789");
  assert.deepEqual(server.asked, ["POST", "PATCH", "PATCH", "PATCH", "GET"]);
  assert.deepEqual(seen, [0, 4, 8, 10]);
});

test("an upload that was begun before goes on from where the server stands", async () => {
  server.kept = "01234";
  await send(upload(URL_OF_IT));
  assert.equal(server.kept, "0123456789");
  assert.deepEqual(server.asked, ["HEAD", "PATCH", "PATCH", "GET"]);
  assert.deepEqual([seen, places], [[5, 9, 10], []]);
});

test("one that the server has no more begins anew, and says where", async () => {
  server.failing = [{ on: "HEAD", status: 404, detail: "There is no upload 7." }];
  assert.equal((await send(upload(URL_OF_IT))).digest, "abc");
  assert.deepEqual(server.asked.slice(0, 3), ["HEAD", "POST", "PATCH"]);
  assert.deepEqual(places, [URL_OF_IT]);
});

test("after a failure it goes on from where the server stands", async () => {
  server.failing = [{ on: "PATCH", half: 3 }];
  await send();
  assert.equal(server.kept, "0123456789");
  assert.deepEqual(server.asked.slice(0, 4), ["POST", "PATCH", "HEAD", "PATCH"]);
  assert.deepEqual(paused, [500]);
});

test("a refusal that may pass is tried again, another one is not", async () => {
  server.failing = [
    { on: "PATCH", status: 503, detail: "Not now." },
    { on: "HEAD", status: 423, detail: "Locked." },
    { on: "PATCH", status: 409, detail: "Elsewhere." },
  ];
  assert.equal((await send()).digest, "abc");
  server = new Server();
  server.failing = [{ on: "PATCH", status: 422, detail: "w has values that are not finite." }];
  await assert.rejects(send(), (error) => error instanceof Refused && /not finite/.test(error.message));
  server = new Server();
  server.failing = [{ on: "POST", status: 413, detail: "Too large." }];
  await assert.rejects(send(), /Too large/);
  assert.deepEqual(server.asked, ["POST"]);
});

test("it gives up after some tries, and goes on when it is asked to", async () => {
  server.failing = Array.from({ length: 6 }, (_, i) => ({ on: i ? "HEAD" : "PATCH" }));
  const one = upload();
  await assert.rejects(send(one), /The server cannot be reached/);
  assert.deepEqual(paused, [500, 1000, 2000, 4000, 8000]);
  server.asked = [];
  assert.deepEqual(await send(one), STORED);
  assert.equal(server.asked[0], "HEAD");
});

test("it waits while a file of PyTorch is converted", async () => {
  server.told = [{ ...STORED, status: "converting" }, { ...STORED, status: "converting" }, STORED];
  assert.equal((await send()).status, "stored");
  assert.equal(conversions, 2);
});

test("a file that could not be converted is refused with the server's words", async () => {
  server.told = [{ ...STORED, status: "refused", error: "It is no state_dict." }];
  await assert.rejects(send(), (error) => error instanceof Refused && error.message === "It is no state_dict.");
});

test("what was lost on the server is sent again", async () => {
  server.told = [{ ...STORED, status: "uploading" }, STORED];
  assert.equal((await send()).status, "stored");
  assert.equal(server.asked.at(-2), "HEAD");
});

test("cancelled, it stops, and the server removes it", async () => {
  const running = new AbortController();
  const one = upload();
  one.sending.onProgress = (bytes) => bytes && running.abort();
  await assert.rejects(one.send(running.signal));
  assert.equal(server.kept, "0123");
  await one.cancel();
  assert.equal(server.asked.at(-1), "DELETE");
});
