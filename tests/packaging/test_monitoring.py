#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_monitoring.py CASE SOURCE: promtool accepts the alerts and their tests, and the dashboards; all use only metrics that there are.

CASE is a key of CASES. metrics.json has the metrics of the service with their labels.
"""
import json
import pathlib
import re
import shutil
import sys
import tempfile

from support import expect, run, skip

HERE = pathlib.Path(__file__).resolve().parent
# Labels that every scraped metric has.
SCRAPED = {"job", "instance"}
WORDS = {"and", "or", "unless", "on", "ignoring", "by", "without", "group_left", "group_right", "bool", "offset"}


def dashboards(source):
    return [json.loads(path.read_text()) for path in sorted((source / "packaging/grafana").glob("*.json"))]


def dashboard_expressions(source):
    """(title, expression) of each query, with Grafana's variables replaced by what they may stand for."""
    found = [(panel["title"], target["expr"].replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*"))
             for board in dashboards(source) for panel in board["panels"] for target in panel.get("targets", [])]
    expect(len(found) > 10 and not any("$" in expression for _, expression in found), f"expressions: {found}")
    return found


def alert_expressions(source):
    """(name, expression) of each alert."""
    text = (source / "packaging/prometheus/alerts.yaml").read_text()
    rules = re.findall(r"- alert: (\w+)\n +expr: (.*(?:\n {10,}.*)*)", text)
    expect(len(rules) == text.count("alert:") > 5, f"{len(rules)} of {text.count('alert:')} alerts read")
    return [(name, " ".join(expression.removeprefix(">-").split())) for name, expression in rules]


def check_expression(where, expression, metrics):
    """Fails where an expression has a metric or a label that is not in the list; returns the metrics in it."""
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    groups = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", plain)
    # What is left without groupings, ranges and functions are metrics with their selectors.
    rest = re.sub(r"\b(?:by|on)\s*\([^)]*\)|\[[^]]*\]", " ", plain)
    rest = re.sub(r"\b[a-z_]\w*\s*\(", "(", rest)
    used = {name: set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            for name, selector in re.findall(r"\b([a-z_]\w*)(\{[^}]*\})?", rest) if name not in WORDS}
    expect(used, f"{where}: no metric in {expression}")
    for name, labels in used.items():
        expect(name in metrics, f"{where}: there is no metric {name}")
        expect(labels <= SCRAPED | set(metrics[name]), f"{where}: {name} has no label {sorted(labels)}")
    grouped = {label for group in groups for label in re.split(r"[,\s]+", group)}
    known = SCRAPED.union(*(metrics[name] for name in used))
    expect(grouped <= known, f"{where}: groups by {sorted(grouped - known)}")
    return set(used)


def metrics_in_use_are_those_of_the_service(source):
    metrics = json.loads((HERE / "metrics.json").read_text())
    for where, expression in alert_expressions(source):
        check_expression(where, expression, metrics)
    shown = set()
    for where, expression in dashboard_expressions(source):
        shown |= check_expression(where, expression, metrics)
    # The sums and counts of histograms say nothing that the buckets do not.
    wanted = {name for name in metrics if not re.search(r"_(sum|count)$", name)} - {"up", "process_virtual_memory_bytes"}
    expect(wanted <= shown, f"no dashboard shows {sorted(wanted - shown)}")


def metrics_that_are_not_there_are_noticed(_source):
    metrics = {"a_total": ["kind"], "b": []}
    expect(check_expression("good", 'sum by (kind) (rate(a_total{kind="x y"}[5m])) / on (job) b', metrics) == {"a_total", "b"},
           "a good expression is read wrongly")
    for bad in ("rate(c_total[5m])", 'a_total{sort="x"}', "sum by (sort) (a_total)", "b unless a"):
        try:
            check_expression("bad", bad, metrics)
        except SystemExit:
            continue
        sys.exit(f"passes: {bad}")


def check_shape(board):
    ids = [panel["id"] for panel in board["panels"]]
    expect(len(set(ids)) == len(ids), "panels share an id")
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        expect(not cells & taken and place["x"] + place["w"] <= 24, f"{panel['title']} lies on another panel")
        taken |= cells
        expect(panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}", f"{panel['title']}: data source")
    names = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(board)))
    expect(names == used, f"variables made and used: {sorted(names)}, {sorted(used)}")


def dashboards_have_their_shape(source):
    boards = dashboards(source)
    expect(len({board["uid"] for board in boards}) == len(boards) == 4, "dashboards share a uid, or one is missing")
    for board in boards:
        check_shape(board)


def promtool_accepts_alerts_and_dashboards(source):
    if shutil.which("promtool") is None:
        skip("promtool (package prometheus) is not installed: nobody ran the tests of the alerts")
    folder = source / "packaging/prometheus"
    run("promtool", "check", "rules", folder / "alerts.yaml")
    run("promtool", "test", "rules", folder / "alerts_test.yaml")
    tested = (folder / "alerts_test.yaml").read_text()
    for name, _ in alert_expressions(source):
        raised = re.search(rf"alertname: {name}\n +exp_alerts:\n +- exp_labels", tested)
        expect(raised and f"alertname: {name}}}" in tested, f"{name} is not tested both ways")
    with tempfile.TemporaryDirectory(prefix="paddock-monitoring-") as scratch:
        # JSON is YAML, and a recording rule is how promtool takes an expression.
        rules = [{"record": f"panel:{i}", "expr": expression} for i, (_, expression) in enumerate(dashboard_expressions(source))]
        file = pathlib.Path(scratch) / "dashboard.yaml"
        file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        run("promtool", "check", "rules", file)


CASES = {case.__name__: case for case in (
    metrics_in_use_are_those_of_the_service, metrics_that_are_not_there_are_noticed, dashboards_have_their_shape,
    promtool_accepts_alerts_and_dashboards)}

if __name__ == "__main__":
    CASES[sys.argv[1]](pathlib.Path(sys.argv[2]))
