// figures: the arithmetic of the page: histograms and intervals that merge exactly, and numbers as
// people read them. Pure: no document, no network.
//
// What comes from a node is not believed: a figure that is no finite number is null, and null is
// shown as "–".

export const LEVELS = ["Ok", "Info", "Warning", "Degraded", "Severe"];
export const PERCENTILES = ["p10", "p50", "p75", "p85", "p90", "p95", "p99", "p99.9"];
export const ANSWERS = ["2xx", "3xx", "4xx", "5xx"];
export const NOTHING = "–";

const RATES = ["requests_per_s", "records_per_s", "body_bytes_per_s", "received_bytes_per_s",
  "commits_per_s", "network_in_bytes_per_s", "network_out_bytes_per_s"];
const COUNTS = ["requests", ...ANSWERS, "commits_failed", "dead_records"];
const LATENCIES = ["latency_us", "commit_latency_us"];

// Those of Histogram<5, 32> (base/histogram.h): a bucket each up to 64 us, then 32 an octave.
const BUCKETS_PER_OCTAVE = 32;
const BUCKETS = 896;

// ---- Reading.

export function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function text(value) {
  return typeof value === "string" ? value : "";
}

export function list(value) {
  return Array.isArray(value) ? value : [];
}

export function object(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
}

// 0 for Ok … 4 for Severe; null for anything else.
export function levelNumber(name) {
  const index = LEVELS.indexOf(name);
  return index < 0 ? null : index;
}

// ---- Histograms.

export function highestIn(bucket) {
  if (bucket < 2 * BUCKETS_PER_OCTAVE) return bucket + 1;
  const shift = Math.floor(bucket / BUCKETS_PER_OCTAVE) - 1;
  return (bucket - shift * BUCKETS_PER_OCTAVE + 1) * 2 ** shift;
}

// Of many nodes: bucket counts are added, percentiles never averaged.
export function mergeHistograms(histograms) {
  const counts = new Array(BUCKETS).fill(0);
  let total = 0;
  for (const histogram of histograms) {
    for (const pair of list(object(histogram).buckets)) {
      const [bucket, count] = list(pair);
      if (!Number.isInteger(bucket) || bucket < 0 || bucket >= BUCKETS) continue;
      if (number(count) === null || count <= 0) continue;
      counts[bucket] += count;
      total += count;
    }
  }
  const merged = { count: total };
  for (const name of PERCENTILES) merged[name] = percentile(counts, total, Number(name.slice(1)));
  return merged;
}

function percentile(counts, total, percent) {
  if (total === 0) return null;
  const rank = Math.min(Math.max(Math.ceil((percent / 100) * total - 1e-9), 1), total);
  let passed = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    passed += counts[bucket];
    if (passed >= rank) return highestIn(bucket);
  }
  return null;
}

// ---- Intervals: one of each node, of about the same time.

export function sumOf(values) {
  let sum = null;
  for (const value of values) {
    if (number(value) !== null) sum = (sum ?? 0) + value;
  }
  return sum;
}

export function highestOf(values) {
  const known = values.filter((value) => number(value) !== null);
  return known.length === 0 ? null : Math.max(...known);
}

export function lowestOf(values) {
  const known = values.filter((value) => number(value) !== null);
  return known.length === 0 ? null : Math.min(...known);
}

export function meanOf(values) {
  const known = values.filter((value) => number(value) !== null);
  return known.length === 0 ? null : sumOf(known) / known.length;
}

export function mergeIntervals(intervals) {
  const all = intervals.map(object);
  const merged = { length_s: highestOf(all.map((each) => each.length_s)) };
  for (const name of [...RATES, ...COUNTS]) merged[name] = sumOf(all.map((each) => each[name]));
  for (const name of ANSWERS) {
    merged[`${name}_per_s`] = sumOf(all.map((each) =>
      number(each[name]) !== null && number(each.length_s) > 0
        ? each[name] / each.length_s : null));
  }
  for (const name of LATENCIES) merged[name] = mergeHistograms(all.map((each) => each[name]));
  return merged;
}

// ---- Histories.

// Points of many nodes to one series: those that end in the same `step_s` belong together. Each is
// {at, interval, gauges: [of each node]}.
export function mergeHistories(histories, step_s) {
  const slots = new Map();
  for (const points of histories) {
    for (const point of list(points).map(object)) {
      const at = number(point.at);
      if (at === null) continue;
      const slot = Math.round(at / step_s) * step_s;
      if (!slots.has(slot)) slots.set(slot, []);
      slots.get(slot).push(point);
    }
  }
  return [...slots.entries()].sort((a, b) => a[0] - b[0]).map(([at, points]) => ({
    at: points.length === 1 ? points[0].at : at,
    interval: mergeIntervals(points.map((point) => point.interval)),
    gauges: points.map((point) => object(point.gauges)),
  }));
}

// ---- As people read them.

function significant(value, digits = 3) {
  if (value === 0) return "0";
  const before = Math.floor(Math.log10(Math.abs(value))) + 1;
  const after = Math.min(Math.max(digits - before, 0), 6);
  return value.toLocaleString("en", { minimumFractionDigits: 0, maximumFractionDigits: after });
}

function scaled(value, units, step = 1000) {
  let unit = 0;
  let rest = value;
  while (Math.abs(rest) >= step * 0.9995 && unit + 1 < units.length) {
    rest /= step;
    unit++;
  }
  return [significant(rest), units[unit]];
}

function shown(value, format) {
  return number(value) === null ? NOTHING : format(value);
}

const joined = ([figure, unit]) => (unit === "" ? figure : `${figure}\u00a0${unit}`);

export function countText(value) {
  return shown(value, (count) => Math.abs(count) < 100_000
    ? Math.round(count).toLocaleString("en")
    : joined(scaled(count, ["", "k", "M", "G", "T", "P"])));
}

export function rateText(value) {
  return shown(value, (rate) =>
    `${joined(scaled(rate, ["", "k", "M", "G"]))}${Math.abs(rate) < 999.5 ? "\u00a0" : ""}/s`);
}

export function bytesText(value) {
  return shown(value, (bytes) => joined(scaled(bytes, ["B", "kB", "MB", "GB", "TB", "PB"])));
}

export function byteRateText(value) {
  return shown(value, (rate) => `${bytesText(rate)}/s`);
}

export function percentText(value) {
  return shown(value, (percent) =>
    `${significant(percent, Math.abs(percent) >= 99.5 || percent === 0 ? 3 : 2)}\u00a0%`);
}

export function microsecondsText(value) {
  return shown(value, (us) =>
    us >= 59_950_000 ? secondsText(us / 1e6) : joined(scaled(us, ["µs", "ms", "s"])));
}

export function loadText(value) {
  return shown(value, (load) => load.toFixed(2));
}

// "0.4 s", "45 s", "7 min", "3 h", "12 days".
export function secondsText(value) {
  return shown(value, (seconds) => {
    if (seconds < 0.0005) return "0\u00a0s";
    if (seconds < 0.9995) return `${significant(seconds * 1000, 2)}\u00a0ms`;
    if (seconds < 9.95) return `${significant(seconds, 2)}\u00a0s`;
    if (seconds < 119.5) return `${Math.round(seconds)}\u00a0s`;
    if (seconds < 7170) return `${Math.round(seconds / 60)}\u00a0min`;
    if (seconds < 171_000) return `${Math.round(seconds / 3600)}\u00a0h`;
    return `${Math.round(seconds / 86_400).toLocaleString("en")}\u00a0days`;
  });
}

export function clockText(unix_s, withSeconds) {
  return new Date(unix_s * 1000).toLocaleTimeString("en-GB", {
    hour: "2-digit", minute: "2-digit", second: withSeconds ? "2-digit" : undefined,
  });
}
