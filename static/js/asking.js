// Asks for the events of a log over HTTP, again and again: for a way to the server that lets no websocket through.

/** @typedef {{ seq: number, kind: string, payload: any }} LogEvent */

export const EVERY_SECONDS = 5;
const ANSWERS = 10_000; // ms that an answer may take

/**
 * What the one who asks says and hears.
 * @typedef {object} Hearing
 * @property {() => number} seen the last event that is known
 * @property {(events: LogEvent[], more: boolean) => void} onAnswer those after it, and whether the log has still more
 * @property {() => void} onFailure there was no answer; nothing more is asked until `start`
 */

export class Asking {
  /**
   * @param {string} url of the log's websocket
   * @param {Hearing} hearing
   */
  constructor(url, hearing) {
    this.url = url.replace(/^\/ws\//, "/logs/");
    this.hearing = hearing;
    /** @type {AbortController | null} */
    this.running = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  start() {
    if (!this.running) this.again();
  }

  /** Ask at once, whatever was on its way. */
  again() {
    this.stop();
    this.running = new AbortController();
    this.ask(this.running);
  }

  stop() {
    clearTimeout(this.timer);
    this.running?.abort();
    this.running = null;
  }

  /** @param {AbortController} mine */
  async ask(mine) {
    const answer = await this.answer(mine.signal);
    if (this.running !== mine) return;
    if (!answer) {
      this.stop();
      this.hearing.onFailure();
      return;
    }
    this.hearing.onAnswer(answer.events, answer.more);
    if (this.running !== mine) return;
    this.timer = setTimeout(() => this.ask(mine), answer.more ? 0 : EVERY_SECONDS * 1000);
  }

  /**
   * @param {AbortSignal} stopped
   * @returns {Promise<{ events: LogEvent[], more: boolean } | null>}
   */
  async answer(stopped) {
    try {
      const signal = AbortSignal.any([stopped, AbortSignal.timeout(ANSWERS)]);
      const answer = await fetch(`${this.url}?after=${this.hearing.seen()}`, { redirect: "manual", signal });
      if (answer.status === 404) return { events: [], more: false }; // deleted: the server's log says so
      return answer.ok ? await answer.json() : null;
    } catch {
      return null;
    }
  }
}
