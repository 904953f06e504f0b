"""Goal: the rules, the dashboard and the examples of deploy/ are right, and stay so when metrics
change.

Method: promtool and amtool check them; every metric they name must be in metrics_table.h or be made
by a rule; every alert must be proved both to fire and not to, and its proof must notice when the
alert is spoilt; every expression of the dashboard is parsed as one of a rule."""

import copy
import json
import re
import subprocess
import sys

import pytest
import yaml

import inlet

DEPLOY = inlet.ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES, ALERTS = PROMETHEUS / "inlet.rules.yml", PROMETHEUS / "inlet.alerts.yml"
PROOFS = sorted(PROMETHEUS.glob("tests/*.test.yml"))
DASHBOARD = DEPLOY / "grafana/inlet.json"
# Of Grafana, not of Prometheus.
VARIABLES = {"$__rate_interval": "5m", "$quantile": "0.99", "$instance": ".*"}
NOT_OURS = {"up"}  # Prometheus makes it for every target.
DURATION = "inlet_http_request_duration_seconds"
LATENCY_QUANTILES = ["0.1", "0.5", "0.75", "0.85", "0.9", "0.95", "0.99", "0.999"]


def tool(*words):
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False,
                          timeout=120)


def rules_of(path):
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def alerts():
    return {rule["alert"]: rule for rule in rules_of(ALERTS)}


def metrics():
    """Name -> type, of all that a node shows."""
    text = (inlet.ROOT / "src/health/metrics_table.h").read_text()
    table = text[text.index("metrics_table = {{"):]
    found = dict(re.findall(r'MetricId::\w+,\s*"(\w+)",\s*MetricType::(\w+)', table))
    assert len(found) > 60, "metrics_table.h is no longer understood"
    return found


def series():
    """Every name that may stand in an expression."""
    names = set(NOT_OURS) | {rule["record"] for rule in rules_of(RULES)}
    for name, kind in metrics().items():
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} \
            if kind == "histogram" else {name}
    return names


def names_in(expression):
    """The series an expression names."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right) *\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\[[^]]*\]", "", bare)
    words = re.findall(r"[A-Za-z_:][\w:]*(?! *\()\b", bare)
    return {word for word in words if word not in ("and", "or", "unless", "bool", "offset", "inf")}


def expressions_of_dashboard():
    found = []
    def walk(value):
        if isinstance(value, dict):
            found.extend([value["expr"]] if "expr" in value else [])
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)
    walk(json.loads(DASHBOARD.read_text()))
    return found


def panels():
    board = json.loads(DASHBOARD.read_text())
    return [one for each in board["panels"] for one in (each, *each.get("panels", []))]


def test_rules_and_examples_are_what_prometheus_and_alertmanager_take():
    for words in (["promtool", "check", "rules", RULES, ALERTS],
                  ["promtool", "check", "config", PROMETHEUS / "prometheus.yml"],
                  ["amtool", "check-config", DEPLOY / "alertmanager/alertmanager.yml"]):
        done = tool(*words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_proof_of_the_rules_holds():
    done = tool("promtool", "test", "rules", *PROOFS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_proved_to_fire_and_not_to():
    fires, quiet = set(), set()
    for path in PROOFS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for proof in test.get("alert_rule_test", []):
                (fires if proof["exp_alerts"] else quiet).add((proof["alertname"], path.name))
    names = set(alerts())
    assert {name for name, _ in fires} == names
    # Beside the fleet that is well, where the fault itself comes and goes.
    assert {name for name, path in quiet if path != "healthy.test.yml"} == names
    assert {name for name, path in quiet if path == "healthy.test.yml"} == names


@pytest.mark.parametrize("spoil", ["never fires", "always fires", "fires at once"])
def test_a_spoilt_alert_is_noticed(here, spoil):
    """All of them at once; promtool must miss each."""
    whole = yaml.safe_load(ALERTS.read_text())
    spoilt, expected = copy.deepcopy(whole), set()
    for rule in (rule for group in spoilt["groups"] for rule in group["rules"]):
        if spoil == "fires at once":
            if "for" not in rule:
                continue
            del rule["for"]
        elif spoil == "never fires":
            rule["expr"] = f"({rule['expr']}) unless on () vector(1)"
        else:
            rule["expr"] = f"({rule['expr']}) or on () vector(1)"
            rule["annotations"] = {}
            rule.pop("for", None)
        expected.add(rule["alert"])
    (here / "tests").mkdir()
    (here / RULES.name).write_text(RULES.read_text())
    (here / ALERTS.name).write_text(yaml.safe_dump(spoilt))
    copies = []
    for path in PROOFS:
        copies.append(here / "tests" / path.name)
        copies[-1].write_text(path.read_text())
    done = tool("promtool", "test", "rules", *copies)
    assert done.returncode != 0
    missed = set(re.findall(r"alertname: (\w+), time:", done.stdout + done.stderr))
    assert missed == expected


def test_alerts_say_what_is_wrong_and_where_it_says_what_to_do():
    book = (inlet.ROOT / "docs/OPERATING.md").read_text()
    for name, rule in alerts().items():
        said = rule["annotations"]
        assert set(said) == {"summary", "description", "runbook_url"}, name
        assert rule["labels"] in [{"severity": s} for s in ("critical", "warning", "info")], name
        page, anchor = said["runbook_url"].split("#")
        assert page == "docs/OPERATING.md" and anchor == name.lower()
        assert f'id="{anchor}"' in book, f"{name} has no place in docs/OPERATING.md"
        one_node = re.search(r"by \(job\)|job:|absent", rule["expr"]) is None
        assert one_node == ("$labels.instance" in said["summary"]), name


def test_every_metric_named_exists():
    known = series()
    for path in (RULES, ALERTS):
        for rule in rules_of(path):
            missing = names_in(rule["expr"]) - known
            assert not missing, f"{rule.get('record') or rule['alert']} names {missing}"
    for expression in expressions_of_dashboard():
        missing = names_in(expression) - known
        assert not missing, f"the dashboard names {missing}: {expression}"
    for path in PROOFS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for one in test["input_series"]:
                missing = names_in(one["series"]) - known
                assert not missing, f"{path.name} names {missing}"


def test_a_metric_that_does_not_exist_is_found():
    assert names_in('rate(inlet_no_such_total{job="inlet"}[5m])') == {"inlet_no_such_total"}
    assert names_in('sum by (job, le) (job:a:b{quantile="0.5"}) / on (job) up offset 5m > 0') \
        >= {"job:a:b", "up"}


def test_the_dashboard_is_what_its_script_makes():
    made = tool(sys.executable, DEPLOY / "grafana/make_dashboard.py")
    assert made.returncode == 0, made.stderr
    assert made.stdout == DASHBOARD.read_text(), "run make_dashboard.py > inlet.json"


def test_every_expression_of_the_dashboard_parses(here):
    rules = []
    for i, expression in enumerate(expressions_of_dashboard()):
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        assert "$" not in expression, expression
        rules.append({"record": f"dashboard:{i}", "expr": expression})
    assert len(rules) > 60
    path = here / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = tool("promtool", "check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_shows_the_set_that_health_must_show():
    by_row, row = {}, None
    for one in panels():
        if one["type"] == "row":
            row = one["title"]
            by_row[row] = set()
        else:
            by_row[row] |= {target["expr"] for target in one["targets"]}
    both = {"requests": "inlet_http_requests:rate5m", "statuses": "inlet_http_responses:rate5m",
            "flushes": "inlet_commit_duration_seconds:quantile_rate5m",
            "network in": "inlet_host_network_receive_bytes:rate5m",
            "network out": "inlet_host_network_transmit_bytes:rate5m",
            **{f"latency {q}": f'{DURATION}:quantile_rate5m{{.*quantile="{q}"'
               for q in LATENCY_QUANTILES}}
    node = {"load": "inlet_host_load1", "journal": "inlet_journal_used:ratio",
            "full in": "inlet_journal_full_in_seconds", "disk": "inlet_host_disk_free",
            "memory": "inlet_host_memory_used",
            **{f"CPU {m}": f'inlet_host_cpu_percent{{.*mode="{m}"'
               for m in ("user", "nice", "system", "idle", "iowait")}}
    sinks = {"lag": "inlet_sink_lag_seconds", "bytes": "inlet_sink_lag_bytes"}
    def missing(wanted, level, *rows):
        shown = "\n".join(sorted(set().union(*(by_row[name] for name in rows))))
        return [what for what, name in wanted.items() if not re.search(level + name, shown)]
    assert missing(both, "job:", "Fleet") == []
    assert missing(both, "instance:", "Nodes", "Node $instance") == []
    assert missing(node, "", "Nodes", "Node $instance") == []
    assert missing(sinks, "", "Sinks") == []


def test_panels_have_their_place_and_a_source_that_can_be_chosen():
    board = json.loads(DASHBOARD.read_text())
    numbers = [one["id"] for one in panels()]
    assert len(set(numbers)) == len(numbers)
    names = {variable["name"] for variable in board["templating"]["list"]}
    assert {"datasource", "instance", "quantile"} == names
    taken = set()
    for one in board["panels"]:
        place = one["gridPos"]
        cells = {(place["x"] + i, place["y"] + j)
                 for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, one["title"]
        taken |= cells
    for one in panels():
        if one["type"] != "row":
            assert one["title"] and one["datasource"]["uid"] == "${datasource}"
            for target in one["targets"]:
                assert target["datasource"]["uid"] == "${datasource}"
    # Every variable that is used is there.
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(board))) - {"__rate_interval", "__all"}
    assert used == names


def test_provisioning_points_at_what_is_there():
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml")
                             .read_text())
    assert sources["apiVersion"] == 1 and sources["datasources"][0]["type"] == "prometheus"
    boards = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/inlet.yml").read_text())
    assert boards["providers"][0]["type"] == "file"
