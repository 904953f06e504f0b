"""Prometheus and Alertmanager as processes, with the rules and the example configurations of
deploy/, a minute made a second."""

import json
import re
import subprocess
import urllib.parse
import urllib.request

import yaml

import inlet
from wire import try_get, wait_until

PROMETHEUS = inlet.ROOT / "deploy/prometheus"
ALERTMANAGER = inlet.ROOT / "deploy/alertmanager/alertmanager.yml"
START_S = 30
WINDOW_MIN_S, WINDOW_MAX_S = 5, 30  # A rate needs a few scrapes, one a second.

# Thresholds that are times: what a test would wait for otherwise.
THRESHOLDS = {"inlet_sink_lag_seconds > 300": "inlet_sink_lag_seconds > 3",
              "instance:inlet_sink_status_age_seconds:max > 120":
                  "instance:inlet_sink_status_age_seconds:max > 5"}
SECONDS = {"s": 1, "m": 60, "h": 3600}


def shortened(text):
    """Rules in which minutes are seconds."""
    def seconds(match):
        return int(match[1]) * SECONDS[match[2]] // 60
    for threshold, short in THRESHOLDS.items():
        text = text.replace(threshold, short)
    text = re.sub(r"(?<=for: )(\d+)([smh])", lambda m: f"{seconds(m)}s", text)
    return re.sub(r"(?<=\[)(\d+)([smh])(?=\])",
                  lambda m: f"{min(WINDOW_MAX_S, max(WINDOW_MIN_S, seconds(m)))}s", text)


class Process:
    """A program with its files in a directory, ready once it says so."""

    name = ""

    def __init__(self, directory):
        self.directory = directory
        self.directory.mkdir(exist_ok=True)
        self.port = inlet.free_port()
        self.process = None

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def spawn(self, *words):
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*map(str, words)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.directory)
        wait_until(lambda: self.process.poll() is not None
                   or try_get(self.address, "/-/ready", 2) == 200, f"{self.name} is ready", START_S)
        assert self.process.poll() is None, (self.directory / "log").read_text()[-2000:]
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)


class Prometheus(Process):
    name = "prometheus"

    def start(self, targets, alertmanager):
        """`targets`: addresses of nodes."""
        alerts = (PROMETHEUS / "inlet.alerts.yml").read_text()
        missing = [threshold for threshold in THRESHOLDS if threshold not in alerts]
        assert not missing, f"no alert has {missing} any more"
        names = ["inlet.rules.yml", "inlet.alerts.yml"]
        for name in names:
            (self.directory / name).write_text(shortened((PROMETHEUS / name).read_text()))
        config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        config["global"].update(scrape_interval="1s", evaluation_interval="1s")
        config["rule_files"] = names
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [
            f"127.0.0.1:{alertmanager.port}"]
        job, = config["scrape_configs"]
        job["static_configs"] = [{"targets": [f"{host}:{port}" for host, port in targets]}]
        del job["dns_sd_configs"]
        (self.directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        return self.spawn("prometheus", f"--config.file={self.directory / 'prometheus.yml'}",
                          f"--storage.tsdb.path={self.directory / 'tsdb'}",
                          f"--web.listen-address=127.0.0.1:{self.port}",
                          "--log.level=warn")

    def query(self, expression):
        """(labels, value) of each sample."""
        found = self.ask("/api/v1/query", query=expression)["data"]["result"]
        return [({k: v for k, v in one["metric"].items() if k != "__name__"},
                 float(one["value"][1])) for one in found]

    def value(self, expression):
        """Of the one sample; None if there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def firing(self, name, **labels):
        """The alert, if one with such labels fires."""
        for alert in self.ask("/api/v1/alerts")["data"]["alerts"]:
            of = alert["labels"]
            if (alert["state"] == "firing" and of["alertname"] == name
                    and all(of.get(k) == v for k, v in labels.items())):
                return alert
        return None

    def all_firing(self):
        alerts = self.ask("/api/v1/alerts")["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


class Alertmanager(Process):
    name = "alertmanager"

    def start(self, receiver):
        """Everything goes to `receiver` (receiver.py), at /pager or /team."""
        config = yaml.safe_load(ALERTMANAGER.read_text())
        config["route"].update(group_wait="0s", group_interval="1s")
        for one in config["receivers"]:
            for hook in one.get("webhook_configs", []):
                hook["url"] = f"http://127.0.0.1:{receiver.port}/{one['name']}"
        (self.directory / "alertmanager.yml").write_text(yaml.safe_dump(config))
        return self.spawn("prometheus-alertmanager",
                          f"--config.file={self.directory / 'alertmanager.yml'}",
                          f"--storage.path={self.directory / 'data'}",
                          f"--web.listen-address=127.0.0.1:{self.port}",
                          "--cluster.listen-address=", "--log.level=warn")


def notifications(receiver, path):
    """(alert name, status, labels) of all that came to a path."""
    found = []
    for request in receiver.requests:
        if request.path == path:
            for alert in json.loads(request.text())["alerts"]:
                found.append((alert["labels"]["alertname"], alert["status"], alert["labels"]))
    return found

