#!/usr/bin/env python3
"""Prints the Grafana dashboard: ./make_dashboard.py > inlet.json

Rows: the fleet as one, its nodes beside each other, one node in full, sinks, tenants. Quantiles are
those of ../prometheus/inlet.rules.yml, which come from the buckets of all nodes added up."""

import json
import sys

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS, HEIGHT = 24, 7
FLEET = 'job="inlet"'
NODES = 'job="inlet", instance=~"$instance"'
EACH = "{{instance}}"
QUANTILES = {"0.1": "p10", "0.5": "p50", "0.75": "p75", "0.85": "p85", "0.9": "p90", "0.95": "p95",
             "0.99": "p99", "0.999": "p99.9"}
CLASS_COLORS = {"2xx": "green", "3xx": "blue", "4xx": "yellow", "5xx": "red"}
DURATION = "inlet_http_request_duration_seconds:quantile_rate5m"
COMMIT = "inlet_commit_duration_seconds:quantile_rate5m"
LEVELS = ["Ok", "Info", "Warning", "Degraded", "Severe"]
LEVEL_COLORS = ["green", "blue", "yellow", "orange", "red"]


def steps(*pairs):
    """Colors from these values on."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value}
                                          for value, color in ((None, "green"), *pairs)]}


def panel(kind, title, unit, queries, width, description="", **more):
    """`queries`: (expression, legend) each."""
    defaults = {"unit": unit, "custom": {}, **more.pop("defaults", {})}
    if kind == "timeseries":
        defaults.setdefault("min", 0)
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never",
                              **more.pop("custom", {})}
    options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
               "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background",
                   "graphMode": "area", "textMode": "auto"}
    return {"type": kind, "title": title, "description": description, "datasource": SOURCE,
            "gridPos": {"w": width, "h": more.pop("height", HEIGHT)},
            "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
            "options": {**options, **more.pop("options", {})},
            "targets": [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expression,
                         "legendFormat": legend, "editorMode": "code"}
                        for i, (expression, legend) in enumerate(queries)], **more}


def graph(title, unit, queries, width=8, **more):
    return panel("timeseries", title, unit, queries, width, **more)


def stat(title, unit, expression, thresholds=None, **more):
    defaults = {"thresholds": thresholds or steps(), **more.pop("defaults", {})}
    return panel("stat", title, unit, [(expression, "")], 4, height=4, defaults=defaults, **more)


def colored(colors):
    return [{"matcher": {"id": "byName", "options": name},
             "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}]}
            for name, color in colors.items()]


STACKED = {"stacking": {"mode": "normal"}, "fillOpacity": 60}
LOGARITHMIC = {"scaleDistribution": {"type": "log", "log": 10}, "fillOpacity": 0}
PERCENT = {"max": 1}


def quantiles(level, labels):
    return [(f'{level}:{DURATION}{{{labels}, quantile="{quantile}"}}', name)
            for quantile, name in QUANTILES.items()]


def fleet():
    levels = [{"type": "value", "options": {
        str(i): {"text": name, "color": LEVEL_COLORS[i]} for i, name in enumerate(LEVELS)}}]
    return [
        stat("Nodes up", "short", f"sum(up{{{FLEET}}})",
             description="That Prometheus reaches."),
        stat("Worst health", "short", f"max(inlet_health_level{{{FLEET}}})",
             steps((1, "blue"), (2, "yellow"), (3, "orange"), (4, "red")),
             defaults={"mappings": levels},
             description="As the nodes judge themselves; /status.json names the causes."),
        stat("Requests", "reqps", f"job:inlet_http_requests:rate5m{{{FLEET}}}"),
        stat("5xx", "percentunit", f"job:inlet_http_responses_5xx:ratio_rate5m{{{FLEET}}}",
             steps((0.001, "yellow"), (0.01, "red"))),
        stat("First journal full in", "s", f"job:inlet_journal_full_in_seconds:min{{{FLEET}}}",
             {"mode": "absolute", "steps": [{"color": "red", "value": None},
                                            {"color": "yellow", "value": 600},
                                            {"color": "green", "value": 3600}]},
             defaults={"noValue": "it does not fill"},
             description="At the paces of the moment; infinite while no journal fills."),
        stat("Worst sink is behind", "s", f"max(sink:inlet_sink_lag_seconds:max{{{FLEET}}})",
             steps((60, "yellow"), (300, "red"))),
        graph("Requests by status", "reqps",
              [(f"job:inlet_http_responses:rate5m{{{FLEET}}}", "{{class}}")],
              custom=STACKED, overrides=colored(CLASS_COLORS)),
        graph("Latency", "s", quantiles("job", FLEET), custom=LOGARITHMIC,
              description="From a request's first byte to its answer, of all nodes' requests."),
        graph("Flushes", "s",
              [(f'job:{COMMIT}{{{FLEET}, quantile="{quantile}"}}', QUANTILES[quantile])
               for quantile in ("0.5", "0.99", "0.999")], custom=LOGARITHMIC,
              description="Every answer waits for one."),
        graph("Records stored", "short",
              [(f"job:inlet_records_stored:rate5m{{{FLEET}}}", "records/s")]),
        graph("Bytes", "Bps",
              [(f"job:inlet_stored_bytes:rate5m{{{FLEET}}}", "stored"),
               (f"job:inlet_host_network_receive_bytes:rate5m{{{FLEET}}}", "network in"),
               (f"job:inlet_host_network_transmit_bytes:rate5m{{{FLEET}}}", "network out")]),
        {**panel("alertlist", "Alerts", "short", [], 8),
         "options": {"alertInstanceLabelFilter": '{alertname=~"Inlet.*"}', "maxItems": 20,
                     "sortOrder": 3, "stateFilter": {"firing": True, "pending": True},
                     "viewMode": "list", "datasource": "${datasource}"}},
    ]


def beside():
    """Nodes beside each other."""
    return [
        graph("Requests", "reqps", [(f"instance:inlet_http_requests:rate5m{{{NODES}}}", EACH)]),
        graph("5xx", "percentunit",
              [(f"instance:inlet_http_responses_5xx:ratio_rate5m{{{NODES}}}", EACH)]),
        graph("Latency, $quantile", "s",
              [(f'instance:{DURATION}{{{NODES}, quantile="$quantile"}}', EACH)],
              custom=LOGARITHMIC),
        graph("Health", "short", [(f"inlet_health_level{{{NODES}}}", EACH)],
              defaults={"max": 4, "decimals": 0}, custom={"lineInterpolation": "stepAfter"},
              description="0 Ok, 1 Info, 2 Warning, 3 Degraded, 4 Severe."),
        graph("Journal used", "percentunit",
              [(f"instance:inlet_journal_used:ratio{{{NODES}}}", EACH)], defaults=PERCENT),
        graph("Journal full in", "s", [(f"inlet_journal_full_in_seconds{{{NODES}}}", EACH)],
              description="At the paces of the moment; nothing is drawn while it does not fill."),
        graph("CPU busy", "percentunit",
              [(f"instance:inlet_host_cpu_busy:ratio{{{NODES}}}", EACH)], defaults=PERCENT),
        graph("Memory used", "percentunit",
              [(f"instance:inlet_host_memory_used:ratio{{{NODES}}}", EACH)], defaults=PERCENT,
              description="Of the container where that is limited, else of the machine."),
        graph("Disk free", "percentunit",
              [(f"instance:inlet_host_disk_free:ratio{{{NODES}}}", EACH)], defaults=PERCENT,
              description="Of the file system with the journal."),
        graph("Load average of a minute", "short", [(f"inlet_host_load1{{{NODES}}}", EACH)]),
        graph("Network in", "Bps",
              [(f"instance:inlet_host_network_receive_bytes:rate5m{{{NODES}}}", EACH)]),
        graph("Network out", "Bps",
              [(f"instance:inlet_host_network_transmit_bytes:rate5m{{{NODES}}}", EACH)]),
        graph("Flushes, 99th percentile", "s",
              [(f'instance:{COMMIT}{{{NODES}, quantile="0.99"}}', EACH)], custom=LOGARITHMIC),
        graph("Connections", "short", [(f"inlet_connections{{{NODES}}}", EACH)]),
        graph("Refused writes and damaged records", "short",
              [(f"increase(inlet_commits_failed_total{{{NODES}}}[$__rate_interval])",
                "writes, {{instance}}"),
               (f"inlet_journal_lost_records_total{{{NODES}}}", "records, {{instance}}")]),
    ]


def alone():
    """One node in full; the row repeats for each that is chosen."""
    return [
        graph("Requests by status", "reqps",
              [(f"instance:inlet_http_responses:rate5m{{{NODES}}}", "{{class}}")],
              custom=STACKED, overrides=colored(CLASS_COLORS)),
        graph("Latency", "s", quantiles("instance", NODES), custom=LOGARITHMIC),
        graph("CPU", "percent",
              [(f'inlet_host_cpu_percent{{{NODES}, mode="{mode}"}}', mode)
               for mode in ("user", "nice", "system", "iowait", "steal", "idle")],
              custom=STACKED, defaults={"max": 100}, overrides=colored({"idle": "transparent"})),
        graph("Load averages", "short",
              [(f"inlet_host_load{minutes}{{{NODES}}}", f"{minutes} min")
               for minutes in (1, 5, 15)]),
        graph("Memory", "bytes",
              [(f"inlet_host_memory_bytes{{{NODES}}}"
                f" - inlet_host_memory_available_bytes{{{NODES}}}", "machine"),
               (f"inlet_host_cgroup_memory_bytes{{{NODES}}}", "container"),
               (f"process_resident_memory_bytes{{{NODES}}}", "serve"),
               (f"inlet_memory_bytes{{{NODES}}}", "client data"),
               (f"inlet_memory_max_bytes{{{NODES}}}", "its ceiling")]),
        graph("Journal", "bytes",
              [(f"inlet_journal_undelivered_bytes{{{NODES}}}", "undelivered"),
               (f"inlet_journal_capacity_bytes{{{NODES}}}", "capacity"),
               (f"inlet_host_disk_free_bytes{{{NODES}}}", "disk free")]),
    ]


def sinks():
    return [
        graph("Behind", "s", [(f"inlet_sink_lag_seconds{{{NODES}}}", "{{sink}} {{instance}}")],
              description="Age of the oldest record the sink has not got."),
        graph("Behind", "bytes", [(f"inlet_sink_lag_bytes{{{NODES}}}", "{{sink}} {{instance}}")]),
        graph("Delivered", "Bps",
              [(f"sink:inlet_sink_delivered_bytes:rate5m{{{FLEET}}}", "{{sink}}")]),
        graph("Delivered", "short",
              [(f"sink:inlet_sink_delivered_records:rate5m{{{FLEET}}}", "{{sink}} records/s")]),
        graph("Refused records, within an hour", "short",
              [(f"sink:inlet_sink_dead_records:increase1h{{{FLEET}}}", "{{sink}}")]),
        graph("Failed attempts", "short",
              [(f"rate(inlet_sink_retries_total{{{NODES}}}[$__rate_interval])",
                "{{sink}} {{instance}}")]),
    ]


def tenants():
    def top(metric):
        return f"topk(10, sum by (tenant) (rate({metric}{{{FLEET}}}[$__rate_interval])))"
    return [
        graph("Records", "short", [(top("inlet_tenant_records_total"), "{{tenant}}")]),
        graph("Bytes", "Bps", [(top("inlet_tenant_bytes_total"), "{{tenant}}")]),
        graph("Refused, by reason", "short",
              [("topk(10, sum by (tenant, reason) "
                f"(rate(inlet_tenant_refusals_total{{{FLEET}}}[$__rate_interval])) > 0)",
                "{{tenant}} {{reason}}")]),
    ]


def placed(rows):
    """Panels in lines of 24 columns, row after row."""
    out, y = [], 0
    for title, panels, more in rows:
        row = {"type": "row", "title": title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}, **more}
        out.append(row)
        y += 1
        x = line = 0
        for each in panels:
            size = each["gridPos"]
            if x + size["w"] > COLUMNS:
                x, y, line = 0, y + line, 0
            size.update(x=x, y=y)
            x, line = x + size["w"], max(line, size["h"])
            if row["collapsed"]:
                row["panels"].append(each)
            else:
                out.append(each)
        y += 0 if row["collapsed"] else line
    number = 0
    for each in out:
        for one in (each, *each.get("panels", [])):
            number += 1
            one["id"] = number
    return out


def variables():
    return [
        {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"},
        {"name": "instance", "label": "Node", "type": "query", "datasource": SOURCE,
         "query": {"query": "label_values(inlet_build_info{job=\"inlet\"}, instance)",
                   "refId": "instances"},
         "refresh": 2, "sort": 7, "multi": True, "includeAll": True,
         "current": {"text": ["All"], "value": ["$__all"]}},
        {"name": "quantile", "label": "Quantile", "type": "custom", "query": ",".join(QUANTILES),
         "options": [{"text": quantile, "value": quantile, "selected": quantile == "0.99"}
                     for quantile in QUANTILES],
         "current": {"text": "0.99", "value": "0.99"}},
    ]


def dashboard():
    return {
        "uid": "inlet", "title": "Inlet", "tags": ["inlet"], "schemaVersion": 38, "version": 1,
        "editable": True, "graphTooltip": 1, "refresh": "30s", "timezone": "utc",
        "time": {"from": "now-3h", "to": "now"}, "templating": {"list": variables()},
        "annotations": {"list": [{
            "name": "Restarts", "datasource": SOURCE, "enable": True, "iconColor": "purple",
            "expr": f"changes(process_start_time_seconds{{{FLEET}}}[1m]) > 0",
            "titleFormat": "{{instance}} started"}]},
        "panels": placed([
            ("Fleet", fleet(), {}),
            ("Nodes", beside(), {}),
            ("Sinks", sinks(), {}),
            ("Tenants", tenants(), {"collapsed": True}),
            ("Node $instance", alone(), {"collapsed": True, "repeat": "instance"}),
        ])}


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1)
    sys.stdout.write("\n")
