// dashboard: the page: which nodes it shows, how they are, and what the reader chose.
//
// The address keeps what is shown: ?nodes=http://a:8081,http://b:8081 are shown beside the node the
// page came from, &node=http://a:8081 is the one looked at (node=here: the page's own).

import { Charts, RANGES } from "./charts.js";
import {
  LEVELS, clockText, highestOf, levelNumber, list, mergeHistories, mergeIntervals, number, object,
  secondsText, text,
} from "./figures.js";
import { NODES_MAX, Node, addressOf } from "./nodes.js";
import { Table, element, keyed, levelPill, setAttribute, setLevel, setText } from "./tables.js";
import {
  fleetColumns, hostColumns, journalColumns, processColumns, requestColumns, sinkColumns, sinkRows,
  tenantColumns, tenantRows, tilesOf,
} from "./views.js";

const CAUSES_SHOWN = 8;
const TENANTS_SHOWN = 10;
const TENANTS_MAX = 1000;
const LATE_S = 3;
const STRIP_MINUTES = 60;
const SILENT = "No answer";
const ASKING = "Asking";
const HERE = "here";
const THEMES = ["auto", "light", "dark"];

const find = (id) => document.getElementById(id);
const view = { window: "last_10s", range: "hour", node: null, allTenants: false };
let nodes = [];
let charts = null;
let tables = {};
let drawing = false;
let historyChanged = false;
const levelsSaid = new Map();

// ---- Nodes.

function makeNode(base) {
  return new Node(base, changed, () => view.range === "minute");
}

function readAddress() {
  const query = new URLSearchParams(location.search);
  const own = makeNode("").origin;
  const written = (query.get("nodes") ?? "").split(",").map(addressOf);
  const others = [...new Set(written)].filter((base) => base !== null && base !== own);
  const known = new Map(nodes.map((node) => [node.base, node]));
  const wanted = ["", ...others.slice(0, NODES_MAX - 1)];
  for (const node of nodes) if (!wanted.includes(node.base)) node.stop();
  nodes = wanted.map((base) => known.get(base) ?? makeNode(base));
  const node = query.get("node");
  view.node = nodes.length < 2 || node === null ? null
    : node === HERE ? "" : addressOf(node);
  if (!nodes.some((each) => each.base === view.node)) view.node = null;
  if (!document.hidden) nodes.forEach((each) => each.start());
}

function writeAddress(bases, node) {
  const query = new URLSearchParams(location.search);
  const set = (name, value) => (value === "" ? query.delete(name) : query.set(name, value));
  set("nodes", bases.join(","));
  set("node", node === null ? "" : node || HERE);
  // Addresses stay readable; they hold nothing that would need escaping but these.
  const written = query.toString().replaceAll("%3A", ":").replaceAll("%2F", "/")
    .replaceAll("%2C", ",");
  history.pushState(null, "", written === "" ? location.pathname : `?${written}`);
  readAddress();
  changed("history");
}

const others = () => nodes.slice(1).map((node) => node.base);

// A node reached by two addresses counts once: its journal says who it is.
function twinOf(node) {
  const id = text(object(object(node.status).journal).id);
  if (id === "") return null;
  return nodes.slice(0, nodes.indexOf(node))
    .find((each) => text(object(object(each.status).journal).id) === id) ?? null;
}

const counted = () => nodes.filter((node) => node.answers && twinOf(node) === null);

// ---- Health.

function healthOf(node) {
  const twin = twinOf(node);
  if (node.problem !== "") {
    const since = secondsText(Math.round((Date.now() - node.silentSince) / 1000));
    return { level: SILENT, causes: [{ level: SILENT, text: `${node.problem} (for ${since})` }] };
  }
  if (node.status === null) return { level: ASKING, causes: [] };
  const health = object(node.status.health);
  const level = levelNumber(health.level) === null ? ASKING : health.level;
  const causes = list(health.causes).map(object)
    .map((cause) => ({ level: text(cause.level), text: text(cause.text) }));
  if (twin !== null) causes.push({ level: "Info", text: `the same node as ${twin.name}` });
  return { level, causes };
}

// A silent node is no less than Degraded for the fleet; a fleet that is silent has no level.
function fleetHealth() {
  const each = nodes.map((node) => ({ node, ...healthOf(node) }));
  const causes = each.flatMap(({ node, causes: own }) =>
    own.map((cause) => ({ ...cause, node: node.name })));
  const rank = (level) => (level === SILENT ? LEVELS.length : levelNumber(level) ?? -1);
  causes.sort((a, b) => rank(b.level) - rank(a.level));
  if (each.every(({ level }) => level === SILENT)) return { level: SILENT, causes };
  const worst = highestOf(each.map(({ level }) =>
    level === SILENT ? levelNumber("Degraded") : levelNumber(level)));
  return { level: worst === null ? ASKING : LEVELS[worst], causes };
}

const REFUSING = new Map([["full", "the journal is full"], ["stalled", "the disk does not answer"],
  ["failing", "the disk refuses to write"]]);

function admissionText(status) {
  const why = REFUSING.get(status.admission);
  if (why) return `refuses records: ${why}`;
  return status.draining === true ? "is draining: it will leave soon" : "takes records";
}

function headline(shownNode) {
  if (shownNode !== null) {
    if (!shownNode.answers) {
      return shownNode.answeredAt === null ? ""
        : `Last heard of at ${clockText(shownNode.answeredAt / 1000, true)}.`;
    }
    const sentence = admissionText(shownNode.status);
    return `${sentence[0].toUpperCase()}${sentence.slice(1)}.`;
  }
  const answering = counted();
  const refusing = answering.filter((node) => admissionText(node.status) !== "takes records");
  const all = nodes.filter((node) => twinOf(node) === null).length;
  const take = refusing.length === 0 ? (answering.length === all ? "all take" : "they take")
    : `${answering.length - refusing.length} take`;
  return `${answering.length} of ${all} nodes answer; ${take} records.`;
}

function renderHealth(shownNode) {
  const health = shownNode === null ? fleetHealth() : healthOf(shownNode);
  setLevel(find("level"), health.level);
  setAttribute(find("health"), "data-level", health.level);
  setText(find("headline"), headline(shownNode));
  const shown = health.causes.slice(0, CAUSES_SHOWN);
  keyed(find("causes"), shown.map((cause, i) => ({ ...cause, i })), (cause) => cause.i,
    () => element("li", {}, levelPill(),
      element("span", {}, element("span", { class: "node" }), element("span"))),
    (item, cause) => {
      setLevel(item.firstElementChild, cause.level);
      const [node, words] = item.lastElementChild.children;
      setText(node, shownNode === null ? `${cause.node}: ` : "");
      setText(words, cause.text);
    });
  const more = health.causes.length - shown.length;
  find("more-causes").hidden = more <= 0;
  setText(find("more-causes"), more > 0 ? `and ${more} more` : "");
  renderTitle(health.level, shownNode);
  announce();
}

// Spoken only when a level changes.
function announce() {
  const words = [];
  for (const node of nodes) {
    const { level, causes } = healthOf(node);
    const before = levelsSaid.get(node.base);
    if (level === ASKING || level === before) continue;
    levelsSaid.set(node.base, level);
    if (before === undefined) continue;
    words.push(`${node.name}: ${level}, was ${before}${causes[0] ? `: ${causes[0].text}` : ""}`);
  }
  if (words.length > 0) setText(find("announcement"), words.join(". "));
}

function renderTitle(level, shownNode) {
  const who = shownNode === null ? `${nodes.length} nodes` : shownNode.name;
  const title = `${level} · ${who} · Inlet`;
  if (document.title === title) return;
  document.title = title;
  const colour = getComputedStyle(find("health")).borderInlineStartColor;
  find("icon").href = "data:image/svg+xml," + encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">' +
    `<circle cx="8" cy="8" r="7" fill="${colour}"/></svg>`);
}

// ---- The last hour of levels.

function renderStrip(points) {
  const now = Date.now() / 1000;
  const worst = new Array(STRIP_MINUTES).fill(null);
  for (const point of points) {
    const index = STRIP_MINUTES - 1 - Math.floor(Math.max(now - point.at, 0) / 60);
    if (index >= 0) worst[index] = highestOf([worst[index],
      ...point.gauges.map((each) => each.level)]);
  }
  const strip = find("strip");
  find("strip-box").hidden = points.length === 0;
  const minutes = new Map();
  keyed(strip, worst.map((level, i) => ({ level, i })), (cell) => cell.i,
    () => element("span"), (cell, { level }) => {
      const word = LEVELS[level] ?? "";
      setAttribute(cell, "data-level", word);
      minutes.set(word, (minutes.get(word) ?? 0) + 1);
    });
  const words = [...LEVELS, ""].filter((word) => minutes.has(word))
    .map((word) => `${word || "no figures"} for ${minutes.get(word)} min`);
  setAttribute(strip, "aria-label", `Health in the last hour: ${words.join(", ")}`);
}

// ---- Rows.

function rowOf(node, choosable) {
  const health = healthOf(node);
  const worst = health.causes[0]?.text ?? "";
  const more = health.causes.length > 1 ? ` (and ${health.causes.length - 1} more)` : "";
  const statuses = node.answers ? [node.status] : [];
  return {
    key: node.base, node, name: node.name, choosable, class: node.answers ? "" : "silent",
    level: health.level, reason: worst + more, statuses,
    interval: mergeIntervals(statuses.map((status) => status[view.window])),
  };
}

function sumRow() {
  const statuses = counted().map((node) => node.status);
  const health = fleetHealth();
  const unwell = nodes.filter((node) => !["Ok", "Info"].includes(healthOf(node).level)).length;
  return {
    key: "all", name: "All nodes", choosable: false, class: "sum", level: health.level,
    reason: unwell === 0 ? ""
      : `${unwell} of ${nodes.length} need${unwell === 1 ? "s" : ""} a look`,
    statuses,
    interval: mergeIntervals(statuses.map((status) => status[view.window])),
  };
}

function renderTiles(row) {
  keyed(find("tiles"), tilesOf(row), (tile) => tile.title,
    (tile) => element("div", {}, element("dt", {}, tile.title),
      element("dd", { class: "value" }), element("dd", { class: "beside" })),
    (item, tile) => {
      setText(item.children[1], tile.value);
      setText(item.children[2], tile.beside);
    });
}

function renderTables(shownNode) {
  const rows = shownNode === null
    ? [sumRow(), ...nodes.map((node) => rowOf(node, true))] : [rowOf(shownNode, false)];
  renderTiles(rows[0]);
  find("fleet").hidden = shownNode !== null;
  if (shownNode === null) tables.fleet.render(rows);
  for (const name of ["requests", "journal", "hosts", "processes"]) tables[name].render(rows);
  const each = shownNode === null ? rows.slice(1).filter((row) =>
    row.statuses.length > 0 && twinOf(row.node) === null) : rows;
  const sinks = sinkRows(each);
  tables.sinks.render(sinks);
  find("no-sinks").hidden = sinks.length > 0;
  const tenants = tenantRows(each);
  tables.tenants.render(tenants.slice(0, view.allTenants ? TENANTS_MAX : TENANTS_SHOWN));
  find("no-tenants").hidden = tenants.length > 0;
  const rest = find("all-tenants");
  rest.hidden = tenants.length <= TENANTS_SHOWN;
  setText(rest, view.allTenants ? `Show the first ${TENANTS_SHOWN}`
    : `Show ${Math.min(tenants.length, TENANTS_MAX).toLocaleString("en")} tenants`);
}

// ---- Drawing.

function renderWhere(shownNode) {
  const fleet = nodes.length > 1;
  find("to-fleet").hidden = !fleet || shownNode === null;
  setText(find("where"), shownNode === null ? `${nodes.length} nodes` : shownNode.name);
  document.body.dataset.view = shownNode === null ? "fleet" : "node";
  const answered = shownNode === null ? nodes : [shownNode];
  const silentSince = answered.every((node) => node.problem !== "")
    ? Math.max(...answered.map((node) => node.silentSince)) : null;
  const silent_s = silentSince === null ? 0 : (Date.now() - silentSince) / 1000;
  const asking = answered.every((node) => node.status === null && node.problem === "");
  setText(find("fresh"), asking ? "asking" : silentSince === null ? "live"
    : `no answer for ${secondsText(Math.round(silent_s))}`);
  setAttribute(find("fresh"), "data-late", String(silent_s >= LATE_S));
  const version = text(object((shownNode ?? nodes[0]).status).version);
  setText(find("version"), version === "" ? "" : `Inlet ${version}`);
  keyed(find("nodes"), nodes, (node) => node.base,
    (node) => {
      const remove = element("button", { type: "button" }, "Remove");
      remove.addEventListener("click", () => {
        writeAddress(others().filter((base) => base !== node.base), null);
        find("address").focus();
      });
      return element("li", {}, element("span"), node.base === "" ? "this node" : remove);
    },
    (item, node) => {
      setText(item.firstElementChild, node.name === node.host ? node.host
        : `${node.name} (${node.host})`);
      setAttribute(item.lastElementChild, "aria-label", `Remove ${node.name}`);
    });
}

function renderHistory(shownNode) {
  const seen = shownNode === null ? nodes.filter((node) => twinOf(node) === null) : [shownNode];
  const minutes = mergeHistories(seen.map((node) => node.minutes), RANGES.hour.step_s);
  renderStrip(minutes);
  const range = RANGES[view.range];
  const points = view.range === "hour" ? minutes
    : mergeHistories(seen.map((node) => node.seconds), range.step_s);
  const latest = points.length === 0 ? 0 : points[points.length - 1].at;
  const now = Math.abs(latest - Date.now() / 1000) < 2 * range.length_s
    ? Math.max(latest, Math.floor(Date.now() / 1000)) : latest;
  charts.update(points, range, shownNode === null, now);
}

function findNamesakes() {
  for (const node of nodes) {
    node.isNamesake = nodes.some((each) => each !== node && each.ownName === node.ownName);
  }
}

function render() {
  drawing = false;
  findNamesakes();
  const shownNode = nodes.length === 1 ? nodes[0]
    : nodes.find((node) => node.base === view.node) ?? null;
  renderWhere(shownNode);
  renderHealth(shownNode);
  renderTables(shownNode);
  if (historyChanged) {
    historyChanged = false;
    renderHistory(shownNode);
  }
}

function changed(what) {
  if (what === "history") historyChanged = true;
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(render);
}

// ---- Theme.

function themeChosen() {
  try {
    const kept = localStorage.getItem("inlet-theme");
    return THEMES.includes(kept) ? kept : "auto";
  } catch {
    return "auto";
  }
}

function applyTheme(theme) {
  setAttribute(document.documentElement, "data-theme", theme === "auto" ? null : theme);
  setText(find("theme"), `Theme: ${theme}`);
  charts?.paint();
}

function nextTheme() {
  const theme = THEMES[(THEMES.indexOf(themeChosen()) + 1) % THEMES.length];
  try {
    localStorage.setItem("inlet-theme", theme);
  } catch {
    // Kept for as long as the page is open only.
  }
  applyTheme(theme);
}

// ---- What the reader does.

function onAdd(event) {
  event.preventDefault();
  const field = find("address");
  const base = addressOf(field.value);
  const problem = base === null ? "That is no address: http://HOST:PORT is wanted."
    : nodes.some((node) => node.origin === base) ? "That one is shown already."
    : nodes.length >= NODES_MAX ? `No more than ${NODES_MAX} nodes are shown.` : "";
  setText(find("add-problem"), problem);
  setAttribute(field, "aria-invalid", problem === "" ? null : "true");
  if (problem !== "") return;
  field.value = "";
  writeAddress([...others(), base], null);
}

function listen() {
  find("add").addEventListener("submit", onAdd);
  find("to-fleet").addEventListener("click", () => {
    writeAddress(others(), null);
    find("main").focus();
  });
  find("theme").addEventListener("click", nextTheme);
  find("window").addEventListener("change", (event) => {
    view.window = event.target.value;
    changed();
  });
  find("range").addEventListener("change", (event) => {
    view.range = event.target.value;
    nodes.forEach((node) => node.hurryHistory());
    changed("history");
  });
  find("all-tenants").addEventListener("click", () => {
    view.allTenants = !view.allTenants;
    changed();
  });
  const panel = find("nodes-panel");
  document.addEventListener("pointerdown", (event) => {
    if (!panel.contains(event.target)) panel.open = false;
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !panel.open) return;
    panel.open = false;
    panel.querySelector("summary").focus();
  });
  addEventListener("popstate", () => {
    readAddress();
    changed("history");
  });
  document.addEventListener("visibilitychange", () =>
    nodes.forEach((node) => (document.hidden ? node.stop() : node.start())));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.paint());
}

function chooseRow(row) {
  writeAddress(others(), row.node.base);
  find("main").focus();
}

function begin() {
  tables = {
    fleet: new Table(find("fleet-table"), fleetColumns(chooseRow)),
    requests: new Table(find("requests-table"), requestColumns(chooseRow)),
    journal: new Table(find("journal-table"), journalColumns(chooseRow)),
    hosts: new Table(find("hosts-table"), hostColumns(chooseRow)),
    processes: new Table(find("processes-table"), processColumns(chooseRow)),
    sinks: new Table(find("sinks-table"), sinkColumns()),
    tenants: new Table(find("tenants-table"), tenantColumns()),
  };
  charts = new Charts(find("charts"));
  applyTheme(themeChosen());
  listen();
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  setText(find("zone"), `Times are those of this browser${zone ? ` (${zone})` : ""}. ` +
    "With a chart focused, the arrow keys walk through time.");
  readAddress();
  changed("history");
}

begin();
