// nodes: the nodes of the fleet: where they are, what they last said, and asking them again.
//
// Each node has its own round of questions, so that one that hangs delays no other. What answers
// within PATIENCE_MS is living; a hidden page asks nothing.

import { list, object, text } from "./figures.js";

export const NODES_MAX = 64;
const STATUS_EVERY_MS = 1000;
const PATIENCE_MS = 2000;
const HISTORY_PATIENCE_MS = 10_000;
const MINUTES_EVERY_MS = 60_000;  // How often the history is asked for,
const SECONDS_EVERY_MS = 5000;    // and how often while its last minute is looked at.
const STATUS_SCHEMA = 2;
const HISTORY_SCHEMA = 1;
const SILENT = "does not answer";

// "b:8081", "http://b:8081/" to "http://b:8081"; null if it is no address of a node.
export function addressOf(written) {
  const trimmed = written.trim();
  if (trimmed === "") return null;
  try {
    const url = new URL(/^[a-z]+:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`);
    if (url.protocol !== "http:" && url.protocol !== "https:") return null;
    if (url.username !== "" || url.password !== "") return null;
    return url.origin + url.pathname.replace(/\/+$/, "");
  } catch {
    return null;
  }
}

class Refusal extends Error {}

async function fetchJson(url, patience_ms, schema) {
  const answer = await fetch(url, {
    cache: "no-store",
    credentials: "same-origin",
    referrerPolicy: "no-referrer",
    signal: AbortSignal.timeout(patience_ms),
  });
  if (!answer.ok) throw new Refusal(`answers ${answer.status}`);
  let said;
  try {
    said = object(await answer.json());
  } catch (error) {
    if (error.name === "TimeoutError") throw error;
    throw new Refusal("answers, but not as a node does");
  }
  if (said.schema !== schema) throw new Refusal("answers, but as another version does");
  return said;
}

// Does something answer there that does not let this page read it?
async function answersOthers(url) {
  try {
    await fetch(url, {
      mode: "no-cors", cache: "no-store", credentials: "omit",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return true;
  } catch {
    return false;
  }
}

export class Node {
  status = null;       // What it last said,
  minutes = [];        // its last hour
  seconds = [];        // and its last minute.
  problem = "";        // Why there is no answer now; "": there is, or none was waited for yet.
  silentSince = null;  // On the page's clock, in milliseconds;
  answeredAt = null;   // so when it last answered.
  isNamesake = false;  // Another node has its name.
  #timer = null;
  #historyAskedAt = -Infinity;
  #stopped = false;
  #asking = false;

  constructor(base, changed, isDetailed) {
    this.base = base;  // "" for the node this page came from.
    this.changed = changed;
    this.isDetailed = isDetailed;  // Is the last minute being looked at?
  }

  get origin() {
    return this.base === "" ? location.origin + location.pathname.replace(/\/+$/, "") : this.base;
  }
  get host() {
    return this.origin.replace(/^https?:\/\//, "");
  }
  get name() {
    const named = this.ownName;
    if (named === "") return this.host;
    return this.isNamesake ? `${named} (${this.host})` : named;
  }
  get ownName() {
    return text(object(this.status).node);
  }
  get answers() {
    return this.status !== null && this.problem === "";
  }

  start() {
    this.#stopped = false;
    if (!this.#asking && this.#timer === null) this.#round();
  }
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = null;
  }
  // Asks for the history with the next round.
  hurryHistory() {
    this.#historyAskedAt = -Infinity;
  }

  async #round() {
    const began = performance.now();
    this.#asking = true;
    this.#timer = null;
    await this.#askStatus();
    if (this.answers) this.#askHistoryIfDue(began);
    this.#asking = false;
    if (this.#stopped) return;
    const rest = Math.max(STATUS_EVERY_MS - (performance.now() - began), 50);
    this.#timer = setTimeout(() => this.#round(), rest);
  }

  async #askStatus() {
    try {
      this.status = await fetchJson(`${this.base || "."}/status.json`, PATIENCE_MS, STATUS_SCHEMA);
      if (this.problem !== "") this.hurryHistory();
      this.problem = "";
      this.silentSince = null;
      this.answeredAt = Date.now();
    } catch (error) {
      this.silentSince ??= Date.now();
      if (this.problem === "") {  // Said at once; finding out why may take as long again.
        this.problem = SILENT;
        this.changed();
      }
      this.problem = await this.#problemOf(error);
    }
    this.changed();
  }

  async #problemOf(error) {
    if (error instanceof Refusal) return error.message;
    if (error.name === "TimeoutError" || this.base === "") return SILENT;
    if (!await answersOthers(`${this.base}/healthz`)) return SILENT;
    return `answers, but does not allow this page: add ${location.origin} to its ` +
      "server.admin_origins";
  }

  async #askHistoryIfDue(now) {
    const every = this.isDetailed() ? SECONDS_EVERY_MS : MINUTES_EVERY_MS;
    if (now - this.#historyAskedAt < every) return;
    this.#historyAskedAt = now;
    try {
      const said = await fetchJson(`${this.base || "."}/history.json`, HISTORY_PATIENCE_MS,
                                   HISTORY_SCHEMA);
      this.minutes = list(said.minutes);
      this.seconds = list(said.seconds);
      this.changed("history");
    } catch {
      // Asked again in a while; that the node is silent is the status' to say.
      this.#historyAskedAt = now - every + SECONDS_EVERY_MS;
    }
  }
}
