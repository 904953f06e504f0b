// views: what each table and tile shows of a node, or of all nodes together.
//
// A row is {key, class, name, node, level, reason, interval, of}: `of` reads a figure of the status
// documents the row stands for, see figureOf().

import {
  ANSWERS, NOTHING, PERCENTILES, byteRateText, bytesText, countText, highestOf, list, loadText,
  lowestOf, meanOf, microsecondsText, number, object, percentText, rateText, secondsText, sumOf,
  text,
} from "./figures.js";
import { element, levelPill, meter, setLevel, setMeter, setText } from "./tables.js";

// Where the door begins to refuse tenants over their share, and everyone (docs/OPERATING.md).
const HIGH_PERCENT = 70;
const FULL_PERCENT = 85;

// Walks "journal.used_percent" down a document that may be anything.
export function figureOf(status, path) {
  return path.split(".").reduce((at, name) =>
    (at !== null && typeof at === "object" && Object.hasOwn(at, name) ? at[name] : undefined),
    status);
}

const sum = (path) => (row) => sumOf(row.statuses.map((each) => figureOf(each, path)));
const lowest = (path) => (row) => lowestOf(row.statuses.map((each) => figureOf(each, path)));
const usedShare = (allPath, freePath) => (row) => {
  const all = sum(allPath)(row);
  const free = sum(freePath)(row);
  return all > 0 && free !== null ? (100 * (all - free)) / all : null;
};
const mean = (path) => (row) => meanOf(row.statuses.map((each) => figureOf(each, path)));
const sinksOf = (row) => row.statuses.flatMap((status) =>
  list(status.sinks).map((sink) => ({ ...object(sink), node: text(status.node) })));

export function usedPercent(row) {
  return row.statuses.length === 1
    ? number(figureOf(row.statuses[0], "journal.used_percent"))
    : (100 * sum("journal.undelivered_bytes")(row)) / sum("journal.capacity_bytes")(row);
}
export const fullIn_s = lowest("journal.full_in_s");

const higher = (read) => (worst, each) =>
  (worst === null || number(read(each)) > number(read(worst)) ? each : worst);

export function worstSink(row) {
  return sinksOf(row).reduce(higher((sink) => sink.lag_s), null);
}

export function fullInText(row) {
  if (row.statuses.length === 0) return NOTHING;
  const seconds = fullIn_s(row);
  return seconds === null ? "not filling" : `in ${secondsText(seconds)}`;
}

function share(interval, name) {
  const all = number(interval.requests);
  const some = number(interval[name]);
  return all > 0 && some !== null ? (100 * some) / all : null;
}

// ---- Columns.

const shown = (title, format, of, more = {}) => ({
  title, ...more, of: (row) => format(of(row)),
});
const rate = (title, field, more) => shown(title, rateText, (row) => row.interval[field], more);

function nameColumn(choose) {
  return {
    title: "Node",
    make: (cell) => {
      const button = element("button", { type: "button", class: "as-link name" });
      button.addEventListener("click", () => choose(cell.row));
      cell.append(button, element("span", { class: "name" }));
    },
    fill: (cell, row) => {
      cell.row = row;
      const [button, plain] = cell.children;
      button.hidden = !row.choosable;
      plain.hidden = row.choosable;
      setText(row.choosable ? button : plain, row.name);
    },
  };
}

function plainNameColumn(title) {
  return {
    title,
    make: (cell) => cell.append(element("span", { class: "name" })),
    fill: (cell, row) => setText(cell.firstElementChild, row.name),
  };
}

function usedColumn() {
  return {
    title: "Used",
    make: (cell) => cell.append(meter("journal used"), element("span", { class: "used" })),
    fill: (cell, row) => {
      const used = number(usedPercent(row));
      const words = percentText(used);
      const grade = used >= FULL_PERCENT ? "full" : used >= HIGH_PERCENT ? "high" : "low";
      setMeter(cell.children[0], used, words, grade);
      setText(cell.children[1], words);
    },
  };
}

export function fleetColumns(choose) {
  return [
    nameColumn(choose),
    { title: "Health", class: "level", make: (cell) => cell.append(levelPill()),
      fill: (cell, row) => setLevel(cell.firstElementChild, row.level) },
    { title: "Why", class: "words", of: (row) => row.reason },
    rate("Requests", "requests_per_s"),
    { title: "4xx", of: (row) => percentText(share(row.interval, "4xx")) },
    { title: "5xx", of: (row) => percentText(share(row.interval, "5xx")) },
    { title: "p50", of: (row) => microsecondsText(row.interval.latency_us.p50) },
    { title: "p99", of: (row) => microsecondsText(row.interval.latency_us.p99) },
    { title: "CPU", of: (row) => percentText(cpuBusy(row)) },
    { title: "Journal", of: (row) => percentText(usedPercent(row)) },
    { title: "Full", of: fullInText },
    { title: "Sink lag", of: (row) => secondsText(worstSink(row)?.lag_s) },
  ];
}

export function cpuBusy(row) {
  const idle = mean("host.cpu.idle")(row);
  return idle === null ? null : Math.max(100 - idle, 0);
}

export function requestColumns(choose) {
  const latency = (group, field) => PERCENTILES.map((name) => ({
    title: name, group, of: (row) => microsecondsText(row.interval[field][name]),
  }));
  return [
    nameColumn(choose),
    rate("Requests", "requests_per_s"),
    ...ANSWERS.map((name) => rate(name, `${name}_per_s`, { group: "Answers" })),
    ...latency("Latency of requests", "latency_us"),
    ...latency("Latency of commits", "commit_latency_us"),
  ];
}

export function journalColumns(choose) {
  return [
    nameColumn(choose),
    usedColumn(),
    { title: "Full", of: fullInText },
    shown("Undelivered", bytesText, sum("journal.undelivered_bytes")),
    shown("Capacity", bytesText, sum("journal.capacity_bytes")),
    shown("Filled", byteRateText, sum("journal.fill_bytes_per_s")),
    shown("Drained", byteRateText, sum("journal.drain_bytes_per_s")),
    rate("Commits", "commits_per_s"),
    shown("Failed commits", countText, sum("journal.commits_failed")),
    shown("Records lost", countText, sum("journal.records_lost")),
    shown("Quarantined", countText, sum("journal.segments_quarantined")),
    { title: "Direct I/O", of: (row) => {
      const direct = new Set(row.statuses.map((each) => figureOf(each, "journal.direct")));
      return direct.size !== 1 ? NOTHING : direct.has(true) ? "yes" : "no";
    } },
  ];
}

export function hostColumns(choose) {
  const cpu = ["user", "nice", "system", "idle", "iowait", "steal"].map((name) =>
    shown(name, percentText, mean(`host.cpu.${name}`), { group: "CPU" }));
  const load = ["1 min", "5 min", "15 min"].map((title, i) =>
    shown(title, loadText, mean(`host.load.${i}`), { group: "Load average" }));
  return [
    nameColumn(choose),
    shown("CPUs", countText, sum("host.cpus")),
    ...load,
    ...cpu,
    shown("used", percentText, usedShare("host.memory_bytes", "host.memory_available_bytes"),
      { group: "Memory" }),
    shown("of", bytesText, sum("host.memory_bytes"), { group: "Memory" }),
    shown("used", percentText, usedShare("host.disk_bytes", "host.disk_free_bytes"),
      { group: "Disk" }),
    shown("free", bytesText, sum("host.disk_free_bytes"), { group: "Disk" }),
    shown("of", bytesText, sum("host.disk_bytes"), { group: "Disk" }),
    shown("in", byteRateText, (row) => row.interval.network_in_bytes_per_s, { group: "Network" }),
    shown("out", byteRateText, (row) => row.interval.network_out_bytes_per_s,
      { group: "Network" }),
  ];
}

export function processColumns(choose) {
  return [
    nameColumn(choose),
    { title: "Version", of: (row) => {
      const versions = new Set(row.statuses.map((each) => text(each.version)));
      return versions.size > 1 ? `${versions.size} versions` : [...versions][0] || NOTHING;
    } },
    shown("Up for", secondsText, lowest("uptime_s")),
    shown("Connections", countText, sum("connections")),
    shown("Clients' data", bytesText, sum("memory_bytes"), { group: "Memory" }),
    shown("ceiling", bytesText, sum("memory_max_bytes"), { group: "Memory" }),
    shown("resident", bytesText, sum("process.resident_bytes"), { group: "Memory" }),
    shown("CPU time", secondsText, sum("process.cpu_s")),
    shown("Threads", countText, sum("process.threads")),
    shown("open", countText, sum("process.open_fds"), { group: "Descriptors" }),
    shown("of", countText, sum("process.max_fds"), { group: "Descriptors" }),
    shown("4xx", countText, sum("refused_4xx"), { group: "Refused since start" }),
    shown("5xx", countText, sum("refused_5xx"), { group: "Refused since start" }),
    shown("framing", countText, sum("framing_errors"), { group: "Refused since start" }),
    { title: "API keys", of: keysText },
  ];
}

function keysText(row) {
  const keys = row.statuses.map((each) => object(each.keys)).filter((each) => "count" in each);
  if (keys.length === 0) return row.statuses.length === 0 ? NOTHING : "not required";
  const stale = keys.find((each) => each.stale === true);
  const count = countText(highestOf(keys.map((each) => each.count)));
  return stale ? `${count}, stale: ${text(stale.reason)}` : count;
}

// ---- Sinks and tenants: of all nodes, by name.

const SUMMED_OF_SINKS = ["lag_records", "lag_bytes", "delivered_records", "delivered_bytes",
  "dead_records", "lost_records", "skipped_records", "retries"];
const SUMMED_OF_TENANTS = ["records", "bytes", "refused", "undelivered_bytes"];

function byName(rows, field) {
  const found = new Map();
  for (const row of rows) {
    for (const each of list(object(row.statuses[0])[field]).map(object)) {
      const name = text(each.name);
      if (!found.has(name)) found.set(name, []);
      found.get(name).push({ ...each, node: row.name });
    }
  }
  return found;
}

function summed(each, fields) {
  return Object.fromEntries(fields.map((field) => [field, sumOf(each.map((one) => one[field]))]));
}

export function sinkRows(rows) {
  return [...byName(rows, "sinks")].map(([name, all]) => {
    const worst = all.reduce((a, b) => (number(b.lag_s) > number(a.lag_s) ? b : a));
    const failed = all.filter((each) => text(each.last_error) !== "")
      .sort((a, b) => text(b.last_error_at).localeCompare(text(a.last_error_at)))[0];
    return {
      key: name, name, ...summed(all, SUMMED_OF_SINKS), worst: worst.node, lag_s: worst.lag_s,
      status_age_s: highestOf(all.map((each) => each.status_age_s)), failed, nodes: all.length,
    };
  });
}

export function tenantRows(rows) {
  return [...byName(rows, "tenants")]
    .map(([name, all]) => ({ key: name, name, ...summed(all, SUMMED_OF_TENANTS) }))
    .sort((a, b) => b.bytes - a.bytes || a.name.localeCompare(b.name));
}

const figure = (title, format, field) => ({ title, of: (row) => format(row[field]) });

export function sinkColumns() {
  return [
    plainNameColumn("Sink"),
    { title: "Furthest behind", class: "of-fleet", of: (row) => row.worst },
    figure("Behind", secondsText, "lag_s"),
    figure("Bytes waiting", bytesText, "lag_bytes"),
    figure("Records waiting", countText, "lag_records"),
    figure("Records delivered", countText, "delivered_records"),
    figure("Bytes delivered", bytesText, "delivered_bytes"),
    figure("Dead", countText, "dead_records"),
    figure("Lost", countText, "lost_records"),
    figure("Skipped", countText, "skipped_records"),
    figure("Retries", countText, "retries"),
    figure("Last heard of", (age) => (age === null ? "never" : `${secondsText(age)} ago`),
      "status_age_s"),
    { title: "Last error", class: "words",
      make: (cell) => cell.append(element("span"), element("span", { class: "error-at" })),
      fill: (cell, row) => {
        setText(cell.children[0], row.failed ? text(row.failed.last_error) : "none");
        const node = row.nodes > 1 && row.failed ? ` on ${row.failed.node}` : "";
        const at = row.failed ? text(row.failed.last_error_at) : "";
        setText(cell.children[1], row.failed ? `${node} ${at}` : "");
      } },
  ];
}

export function tenantColumns() {
  return [
    plainNameColumn("Tenant"),
    figure("Records", countText, "records"),
    figure("Bytes", bytesText, "bytes"),
    figure("Refused", countText, "refused"),
    figure("Undelivered", bytesText, "undelivered_bytes"),
  ];
}

// ---- Tiles: {title, value, beside} of a row.

export function tilesOf(row) {
  const { interval } = row;
  const sink = worstSink(row);
  return [
    { title: "Requests", value: rateText(interval.requests_per_s),
      beside: ["4xx", "5xx"]
        .map((name) => `${name}\u00a0${percentText(share(interval, name))}`).join(" · ") },
    { title: "Records stored", value: rateText(interval.records_per_s),
      beside: `${byteRateText(interval.body_bytes_per_s)} of bodies` },
    { title: "Latency, median", value: microsecondsText(interval.latency_us.p50),
      beside: besides(interval.latency_us) },
    { title: "Commit, median", value: microsecondsText(interval.commit_latency_us.p50),
      beside: besides(interval.commit_latency_us) },
    journalTile(row),
    { title: "Sink lag", value: secondsText(sink?.lag_s),
      beside: sink === null ? "no sink" : words(text(sink.name), row.statuses.length > 1
        ? sink.node : "", `${bytesText(sink.lag_bytes)}\u00a0waiting`) },
  ];
}

// Of a fleet the journal that will be full first, else the fullest: a mean would hide it.
function journalTile(row) {
  const used = (status) => figureOf(status, "journal.used_percent");
  const fullest = row.statuses.reduce(higher(used), null);
  const soonest = row.statuses.find((each) =>
    fullIn_s(row) !== null && figureOf(each, "journal.full_in_s") === fullIn_s(row)) ?? fullest;
  return {
    title: "Journal used", value: percentText(used(soonest)),
    beside: words(row.statuses.length > 1 ? text(object(soonest).node) : "",
      fullIn_s(row) === null ? fullInText(row) : `full ${fullInText(row)}`),
  };
}

const words = (...some) => some.filter((each) => each !== "").join(" · ");

function besides(latency) {
  return ["p99", "p99.9"].map((name) => `${name}\u00a0${microsecondsText(latency[name])}`)
    .join(" · ");
}
