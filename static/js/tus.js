// Sends a file in parts by tus 1.0, and goes on from where the server stands after a failure. No page here.

const TUS = { "Tus-Resumable": "1.0.0" };
const PART_TYPE = "application/offset+octet-stream";
const TRIES = 6; // in a row without a byte more
const LONGEST = 15_000; // ms between two tries
const ASKS = 1000; // ms between two questions while a file is converted
const GONE = [404, 410];
const PASSING = [408, 409, 423, 425, 429]; // refusals that another try may not meet

/**
 * What the server tells of an upload.
 * @typedef {object} Told
 * @property {string} name
 * @property {string} status
 * @property {string | null} digest of the model's file
 * @property {number} num_bytes
 * @property {string | null} error
 */

/** @typedef {Pick<File, "name" | "size" | "slice">} Content of a file, or of one that a reload has lost */

/**
 * @typedef {object} Sending
 * @property {string} url where uploads are made
 * @property {string} [at] where an upload of this file was begun before
 * @property {Content} file
 * @property {string} token against forged requests
 * @property {number} partBytes
 * @property {(location: string) => void} onPlace the server has made a place for it
 * @property {(bytes: number) => void} onProgress how many bytes the server has
 * @property {() => void} onConversion everything was sent, and is converted now
 * @property {(ms: number) => Promise<void>} pause
 */

/** The server does not take the file. Its message is the server's sentence. */
export class Refused extends Error {
  /**
   * @param {string} message
   * @param {number} [status]
   */
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** @param {number} ms */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Upload {
  /** @param {Sending} sending */
  constructor(sending) {
    this.sending = sending;
    this.location = sending.at ?? ""; // of the upload, once there is one
    this.offset = 0;
    this.isSure = false; // the server's offset is known
  }

  /**
   * Send it, or the rest of it. Resolves when the server has made a model's file of it.
   * @param {AbortSignal} signal
   * @returns {Promise<Told>}
   */
  async send(signal) {
    let failures = 0;
    for (;;) {
      const before = this.offset;
      try {
        const told = await this.step(signal);
        if (told) return told;
        if (this.offset > before) failures = 0;
      } catch (error) {
        if (error instanceof Refused || signal.aborted) throw error;
        failures += 1;
        if (failures >= TRIES) throw error;
        this.isSure = false;
        await this.sending.pause(Math.min(LONGEST, 500 * 2 ** (failures - 1)));
      }
    }
  }

  /** Remove what was sent. What cannot be reached now is removed by the server in a day. */
  async cancel() {
    if (this.location) await this.ask("DELETE", this.location).catch(() => null);
    this.location = "";
  }

  /**
   * One request that brings it further.
   * @param {AbortSignal} signal
   * @returns {Promise<Told | null>}
   */
  async step(signal) {
    if (!this.location) await this.begin(signal);
    else if (!this.isSure) await this.look(signal);
    else if (this.offset < this.sending.file.size) await this.part(signal);
    else return this.outcome(signal);
    return null;
  }

  /** @param {AbortSignal} signal */
  async begin(signal) {
    const { url, file } = this.sending;
    const headers = { "Upload-Length": String(file.size), "Upload-Metadata": `filename ${base64(file.name)}` };
    const answer = await this.ask("POST", url, { headers, signal });
    this.location = answer.headers.get("Location") ?? "";
    this.sending.onPlace(this.location);
    this.stand(answer);
  }

  /**
   * Ask where it stands. One that the server has no more begins anew.
   * @param {AbortSignal} signal
   */
  async look(signal) {
    try {
      this.stand(await this.ask("HEAD", this.location, { signal }));
    } catch (error) {
      if (!(error instanceof Refused) || !GONE.includes(error.status)) throw error;
      this.location = "";
      this.offset = 0;
    }
  }

  /** @param {AbortSignal} signal */
  async part(signal) {
    const { file, partBytes } = this.sending;
    const body = file.slice(this.offset, this.offset + partBytes);
    const headers = { "Content-Type": PART_TYPE, "Upload-Offset": String(this.offset) };
    this.stand(await this.ask("PATCH", this.location, { headers, body, signal }));
  }

  /** @param {Response} answer */
  stand(answer) {
    this.offset = Number(answer.headers.get("Upload-Offset"));
    this.isSure = true;
    this.sending.onProgress(this.offset);
  }

  /**
   * What became of the whole file. Null: it is converted still.
   * @param {AbortSignal} signal
   * @returns {Promise<Told | null>}
   */
  async outcome(signal) {
    const answer = await this.ask("GET", this.location, { signal });
    /** @type {Told} */
    const told = await answer.json();
    if (told.status === "stored") return told;
    if (told.status === "converting") {
      this.sending.onConversion();
      await this.sending.pause(ASKS);
      return null;
    }
    if (told.status === "uploading") throw new Error("The server has lost a part of the file.");
    throw new Refused(told.error ?? "The file was damaged on the server.");
  }

  /**
   * @param {string} method
   * @param {string} url
   * @param {RequestInit & { headers?: Record<string, string> }} [more]
   */
  async ask(method, url, { headers = {}, ...more } = {}) {
    const all = { ...TUS, "X-CSRFToken": this.sending.token, ...headers };
    const answer = await fetch(url, { method, headers: all, ...more }).catch((error) => {
      throw error instanceof TypeError ? new Error("The server cannot be reached.") : error;
    });
    if (answer.ok) return answer;
    const why = await sentence(answer);
    const isPassing = answer.status >= 500 || PASSING.includes(answer.status);
    throw isPassing ? new Error(why) : new Refused(why, answer.status);
  }
}

/**
 * Why the server refused.
 * @param {Response} answer
 */
async function sentence(answer) {
  const problem = await answer.json().catch(() => null); // a proxy's page is none
  return problem?.detail || `The server answered ${answer.status}.`;
}

/**
 * UTF-8 in base64, as tus has names.
 * @param {string} text
 */
function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
