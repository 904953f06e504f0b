// charts: the last hour, or minute, as lines; drawn by Chart.js (chart.js).
//
// One moment is looked at in all charts at once: by pointing at it, or with the arrow keys on a
// chart. The figures beside the names are those of that moment, else the latest.

import {
  ANSWERS, PERCENTILES, byteRateText, clockText, highestOf, loadText, meanOf, microsecondsText,
  percentText, rateText, secondsText,
} from "./figures.js";
import { element, setAttribute, setText } from "./tables.js";

export const RANGES = {
  hour: { step_s: 60, length_s: 3600, tick_s: 600, name: "the last hour" },
  minute: { step_s: 1, length_s: 60, tick_s: 15, name: "the last minute" },
};
const NARROW_PX = 420;
const DURATION_STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
  7200, 14_400, 28_800, 86_400, 172_800, 604_800];
const TICKS_MAX = 4;
const FILL_OPACITY = 0.4;
const GAP_STEPS = 2.5;  // Points further apart than this are not joined.

const COLOURS = {
  "2xx": "--blue", "3xx": "--purple", "4xx": "--orange", "5xx": "--vermilion",
  p10: "--sky", p50: "--blue", p75: "--indigo", p85: "--olive", p90: "--green", p95: "--yellow",
  p99: "--orange", "p99.9": "--vermilion",
};
const SHOWN_FIRST = new Set(["p50", "p90", "p99", "p99.9"]);

const rate = (name, field, colour) => ({
  name, colour, of: (point) => point.interval[field],
});
const latencies = (field) => PERCENTILES.map((name) => ({
  name, colour: COLOURS[name], hidden: !SHOWN_FIRST.has(name),
  of: (point) => point.interval[field][name],
}));
// Of one node its figure; of a fleet the highest, and the mean where that says something.
const gauge = (name, field, colour) => ({
  name, colour, fleetName: `${name}, highest`,
  of: (point) => highestOf(point.gauges.map((each) => each[field])),
});
const mean = (name, field, colour) => ({
  name: `${name}, mean`, colour, fleetOnly: true,
  of: (point) => meanOf(point.gauges.map((each) => each[field])),
});

const CHARTS = [
  { title: "Requests", unit: "per second, by answer", format: rateText, stacked: true,
    series: ANSWERS.map((name) => rate(name, `${name}_per_s`, COLOURS[name])) },
  { title: "Latency", unit: "of requests, log scale", format: microsecondsText, log: true,
    series: latencies("latency_us") },
  { title: "Commit latency", unit: "of flushed writes, log scale", format: microsecondsText,
    log: true, series: latencies("commit_latency_us") },
  { title: "Records", unit: "stored per second", format: rateText,
    series: [rate("records", "records_per_s", "--blue")] },
  { title: "Bytes in", unit: "per second", format: byteRateText,
    series: [rate("from clients", "received_bytes_per_s", "--sky"),
             rate("bodies stored", "body_bytes_per_s", "--blue")] },
  { title: "Network", unit: "of the host, per second", format: byteRateText,
    series: [rate("in", "network_in_bytes_per_s", "--blue"),
             rate("out", "network_out_bytes_per_s", "--orange")] },
  { title: "CPU", unit: "% of all cores", format: percentText, most: 100,
    series: [gauge("CPU", "cpu_percent", "--blue"), mean("CPU", "cpu_percent", "--orange")] },
  { title: "Load average", unit: "over 1 minute", format: loadText,
    series: [gauge("load", "load1", "--blue"), mean("load", "load1", "--orange")] },
  { title: "Memory and disk", unit: "% used", format: percentText, most: 100,
    series: [gauge("memory", "memory_percent", "--blue"),
             gauge("disk", "disk_percent", "--orange")] },
  { title: "Journal", unit: "% used", format: percentText, most: 100,
    series: [gauge("journal", "journal_percent", "--blue")] },
  { title: "Sink lag", unit: "of the sink furthest behind", format: secondsText, time: true,
    series: [gauge("lag", "sink_lag_s", "--blue")] },
  { title: "Commits", unit: "flushed writes per second", format: rateText,
    series: [rate("commits", "commits_per_s", "--blue")] },
];

// A custom property as the canvas needs it: resolved for the theme in force.
function colourOf(name) {
  const probe = element("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

// A logarithmic axis shows powers of ten only, and so at least two of them.
const POWERS_OF_TEN = {
  afterDataLimits: (axis) => {
    axis.min = 10 ** Math.floor(Math.log10(Math.max(axis.min, 1)));
    axis.max = Math.max(10 ** Math.ceil(Math.log10(Math.max(axis.max, 1))), axis.min * 10);
  },
  afterBuildTicks: (axis) => {
    axis.ticks = [];
    for (let value = axis.min; value <= axis.max; value *= 10) axis.ticks.push({ value });
  },
};

// Steps of time are those of clocks.
function durationStep(axis) {
  const fits = (step) => axis.max / step <= TICKS_MAX;
  return DURATION_STEPS_S.find(fits) ?? axis.max / TICKS_MAX;
}
const DURATIONS = {
  afterDataLimits: (axis) => {
    axis.max = Math.ceil(axis.max / durationStep(axis)) * durationStep(axis);
  },
  afterBuildTicks: (axis) => {
    axis.ticks = [];
    const step = durationStep(axis);
    for (let value = 0; value <= axis.max + step / 2; value += step) axis.ticks.push({ value });
  },
};

// The line through the moment that is looked at.
const cursor = {
  id: "cursor",
  afterDatasetsDraw(chart, _, { card }) {
    const at = card?.lookedAt;
    if (at === null || at === undefined) return;
    const { left, right, top, bottom } = chart.chartArea;
    const x = chart.scales.x.getPixelForValue(at);
    if (x < left - 1 || x > right + 1) return;
    const { ctx } = chart;
    ctx.save();
    ctx.strokeStyle = card.colours.text;
    ctx.lineWidth = 1;
    ctx.setLineDash([3, 3]);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, bottom);
    ctx.stroke();
    ctx.restore();
  },
};

class Card {
  lookedAt = null;
  colours = {};
  #chart = null;
  #points = [];
  #fleet = false;
  #range = RANGES.hour;
  #legend = new Map();

  constructor(definition, look) {
    this.definition = definition;
    this.hidden = new Set(definition.series.filter((each) => each.hidden).map((each) => each.name));
    this.time = element("span", { class: "chart-time" });
    this.legend = element("div", { class: "legend" });
    this.canvas = element("canvas");
    this.plot = element("div", {
      class: "plot", tabindex: "0", role: "slider", "aria-orientation": "horizontal",
      "aria-label": `${definition.title} ${definition.unit}: the moment looked at`,
    }, this.canvas);
    this.root = element("figure", { class: "chart" },
      element("figcaption", {}, element("h3", {}, definition.title),
        element("span", { class: "unit" }, definition.unit), this.time),
      this.legend, this.plot);
    this.plot.addEventListener("keydown", (event) => this.#onKey(event, look));
    this.plot.addEventListener("blur", () => look(null));
    for (const name of ["pointermove", "pointerdown"]) {
      this.plot.addEventListener(name, (event) => look(this.#momentAt(event)));
    }
    this.plot.addEventListener("pointerleave", () => look(null));
  }

  #series() {
    return this.definition.series.filter((each) => this.#fleet || !each.fleetOnly);
  }
  #nameOf(series) {
    return this.#fleet ? series.fleetName ?? series.name : series.name;
  }

  #momentAt(event) {
    if (this.#chart === null || this.#points.length === 0) return null;
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    const value = this.#chart.scales.x.getValueForPixel(x);
    return this.#points.reduce((best, { at }) =>
      Math.abs(at - value) < Math.abs(best - value) ? at : best, this.#points[0].at);
  }

  #onKey(event, look) {
    const last = this.#points.length - 1;
    if (event.key === "Escape") return look(null);
    const index = this.#indexOf(this.lookedAt) ?? last;
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1,
                    PageUp: 10, PageDown: -10, Home: -index, End: last - index };
    if (!(event.key in steps) || last < 0) return undefined;
    event.preventDefault();
    const next = Math.min(Math.max(index + steps[event.key], 0), last);
    return look(this.#points[next].at);
  }

  // Of the point at that moment, give or take a step.
  #indexOf(at) {
    if (at === null) return null;
    const near = this.#points.findIndex((point) =>
      Math.abs(point.at - at) <= this.#range.step_s / 2);
    return near < 0 ? null : near;
  }

  look(at) {
    this.lookedAt = at;
    this.#say();
    this.#chart?.draw();
  }

  update(points, range, fleet, now) {
    this.#points = points;
    this.#range = range;
    this.#fleet = fleet;
    if (globalThis.Chart === undefined) return;
    if (this.#chart === null) this.#draw();
    const { x } = this.#chart.options.scales;
    x.max = now;
    x.min = now - range.length_s;
    this.#chart.data.datasets = this.#series().map((each) => this.#dataset(each));
    this.#chart.update("none");
    this.#say();
  }

  // Reads the theme's colours anew.
  paint() {
    this.colours = { text: colourOf("--faint"), grid: colourOf("--grid") };
    for (const { colour } of this.definition.series) this.colours[colour] = colourOf(colour);
    if (this.#chart === null) return;
    for (const scale of Object.values(this.#chart.options.scales)) {
      scale.ticks.color = this.colours.text;
      scale.grid.color = this.colours.grid;
    }
    this.#chart.data.datasets = this.#series().map((each) => this.#dataset(each));
    this.#chart.update("none");
  }

  #dataset(series) {
    const colour = this.colours[series.colour];
    const data = [];
    let before = null;
    for (const point of this.#points) {
      if (before !== null && point.at - before > GAP_STEPS * this.#range.step_s) {
        data.push({ x: before + this.#range.step_s, y: NaN });
      }
      data.push({ x: point.at, y: series.of(point) ?? NaN });
      before = point.at;
    }
    return {
      data, label: series.name, borderColor: colour,
      backgroundColor: colour.replace("rgb(", "rgba(").replace(")", `, ${FILL_OPACITY})`),
      borderWidth: 1.75, clip: 4,
      fill: this.definition.stacked ? (series === this.#series()[0] ? "origin" : "-1") : false,
      pointRadius: data.length === 1 ? 2 : 0, pointHoverRadius: 0,
      hidden: this.hidden.has(series.name),
    };
  }

  #draw() {
    const { definition } = this;
    this.paint();
    this.#chart = new globalThis.Chart(this.canvas, {
      type: "line",
      data: { datasets: [] },
      plugins: [cursor],
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, events: [], parsing: false,
        normalized: true,
        plugins: {
          legend: { display: false }, tooltip: { enabled: false }, cursor: { card: this },
        },
        scales: { x: this.#timeAxis(), y: this.#valueAxis(definition) },
      },
    });
  }

  #timeAxis() {
    return {
      type: "linear",
      grid: { display: false, drawBorder: false, color: this.colours.grid },
      ticks: {
        color: this.colours.text, maxRotation: 0, autoSkip: false, font: { size: 11 },
        callback: (value) => clockText(value, this.#range === RANGES.minute),
      },
      // On the full ten minutes of the reader's clock.
      afterBuildTicks: (axis) => {
        const wide = this.canvas.clientWidth > NARROW_PX || this.#range === RANGES.minute;
        const step = this.#range.tick_s * (wide ? 1 : 2);
        const offset = new Date(axis.max * 1000).getTimezoneOffset() * 60;
        axis.ticks = [];
        const first = Math.ceil((axis.min - offset) / step) * step + offset;
        for (let value = first; value <= axis.max; value += step) axis.ticks.push({ value });
      },
    };
  }

  #valueAxis({ log, time, most, stacked, format }) {
    return {
      type: log ? "logarithmic" : "linear",
      stacked: Boolean(stacked),
      beginAtZero: !log, max: most, suggestedMax: log ? undefined : 1,
      grid: { color: this.colours.grid, drawBorder: false, drawTicks: false },
      ticks: {
        color: this.colours.text, maxTicksLimit: 5, padding: 6, font: { size: 11 },
        callback: (value) => format(value),
      },
      ...(log ? POWERS_OF_TEN : time ? DURATIONS : {}),
    };
  }

  // The figures of the moment: beside the names, and to those who do not see the lines.
  #say() {
    const index = this.#indexOf(this.lookedAt);
    const point = this.#points[index ?? this.#points.length - 1];
    const words = [];
    for (const series of this.#series()) {
      const entry = this.#legendEntry(series);
      const value = point === undefined ? null : series.of(point);
      setText(entry.name, this.#nameOf(series));
      const off = this.hidden.has(series.name);
      setText(entry.figure, off ? "" : this.definition.format(value));
      if (!off) words.push(`${this.#nameOf(series)} ${this.definition.format(value)}`);
    }
    for (const [name, { root }] of this.#legend) {
      root.hidden = !this.#series().some((each) => each.name === name);
    }
    const clock = point === undefined ? "" : clockText(point.at, this.#range === RANGES.minute);
    setText(this.time, index === null ? "" : clock);
    setAttribute(this.plot, "aria-valuemin", "0");
    setAttribute(this.plot, "aria-valuemax", String(Math.max(this.#points.length - 1, 0)));
    setAttribute(this.plot, "aria-valuenow", String(index ?? Math.max(this.#points.length - 1, 0)));
    setAttribute(this.plot, "aria-valuetext",
      point === undefined ? "nothing measured yet" : `${clock}: ${words.join(", ")}`);
  }

  #legendEntry(series) {
    const known = this.#legend.get(series.name);
    if (known) return known;
    const swatch = element("span", { class: "swatch" });
    swatch.style.backgroundColor = `var(${series.colour})`;
    const name = element("span", { class: "legend-name" });
    const figure = element("span", { class: "legend-figure" });
    const root = element("button", {
      type: "button", "aria-pressed": String(!this.hidden.has(series.name)),
    }, swatch, name, figure);
    root.addEventListener("click", () => this.#toggle(series.name, root));
    this.legend.append(root);
    this.#legend.set(series.name, { root, name, figure });
    return this.#legend.get(series.name);
  }

  #toggle(name, button) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    setAttribute(button, "aria-pressed", String(!this.hidden.has(name)));
    for (const dataset of this.#chart?.data.datasets ?? []) {
      dataset.hidden = this.hidden.has(dataset.label);
    }
    this.#chart?.update("none");
    this.#say();
  }
}

export class Charts {
  #cards;

  constructor(parent) {
    if (globalThis.Chart !== undefined) {
      globalThis.Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    }
    const look = (at) => this.#cards.forEach((card) => card.look(at));
    this.#cards = CHARTS.map((definition) => new Card(definition, look));
    parent.append(...this.#cards.map((card) => card.root));
  }

  update(points, range, fleet, now) {
    for (const card of this.#cards) card.update(points, range, fleet, now);
  }
  paint() {
    for (const card of this.#cards) card.paint();
  }
}
