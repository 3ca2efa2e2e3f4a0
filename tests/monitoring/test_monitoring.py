"""Rules and dashboards: current, valid, about metrics that exist, each alert with a page."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli.main import main as cli
from infra.monitoring.generate.__main__ import GENERATED, generated_files, main
from infra.monitoring.generate.dashboards import read_pages
from infra.monitoring.generate.settings import MONITORING, SettingsError, load_settings, read_settings
from tests.monitoring.programs import run
from tests.monitoring.promql import metrics_of

ROOT = MONITORING.parent.parent
PAGES = ROOT / "docs" / "runbooks" / "alerts"
SETTINGS = (MONITORING / "monitoring.yaml").read_text()
POLICY = (MONITORING / "policy.example.yaml").read_text()
LISTED: dict[str, dict[str, Any]] = {
    metric["name"]: {**metric, "source": source}
    for source, metrics in yaml.load((MONITORING / "metrics.yaml").read_text(), Loader=yaml.CSafeLoader)[
        "metrics"
    ].items()
    for metric in metrics
}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("promtool", "prometheus", *arguments)


@cache
def rules() -> list[dict[str, Any]]:
    return [
        rule
        for name in ("rules.yaml", "slo-rules.yaml")
        for group in yaml.load((GENERATED / name).read_text(), Loader=yaml.CSafeLoader)["groups"]
        for rule in group["rules"]
    ]


ALERTS = [rule for rule in rules() if "alert" in rule]
NAMES = [rule["alert"] for rule in ALERTS]
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for page in read_pages(read_settings().objective):
        for row in page["rows"]:
            for panel in row["panels"]:
                yield f"{page['title']}: {panel['title']}", panel


QUERIES = {
    f"{where} ({index})": query["query"]
    for where, panel in panels()
    for index, query in enumerate(panel["queries"])
}


# What is generated


def test_what_is_generated_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out
    there = {str(path.relative_to(GENERATED)) for path in GENERATED.rglob("*") if path.is_file()}
    assert there == set(generated_files(read_settings()))


@pytest.mark.parametrize("name", ["rules.yaml", "slo-rules.yaml"])
def test_promtool_takes_the_rules_and_finds_no_duplicates(name: str) -> None:
    done = promtool("check", "rules", "--lint-fatal", str(GENERATED / name))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted((MONITORING / "tests").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_is_in_a_unit_test_of_the_rules(name: str) -> None:
    texts = [path.read_text() for path in (MONITORING / "tests").glob("*.yaml")]
    assert any(re.search(rf"\b{name}\b", text) for text in texts)


# Alerts


def test_the_names_of_alerts_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_an_alert_says_how_bad_it_is_what_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "none")
    assert set(rule["annotations"]) == {"summary", "cure", "runbook_url"}
    assert len(rule["annotations"]["summary"]) < 120
    assert not rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_the_commands_in_a_cure_can_be_given(rule: dict[str, Any]) -> None:
    for words in re.findall(r"groundcrew ((?:[a-z]+ ?)+)", rule["annotations"]["cure"]):
        command: click.Command = cli
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            below = command.get_command(click.Context(command), word)
            assert below is not None, words
            command = below
        assert command is not cli


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_has_its_page(name: str) -> None:
    page = PAGES / f"{name}.md"
    assert page.is_file(), f"write docs/runbooks/alerts/{name}.md"
    text = page.read_text()
    assert text.startswith(f"# {name}\n")
    for heading in ("**Means**", "**First look**", "**Cure**"):
        assert heading in text, f"{page.name} has no {heading}"


def test_every_page_has_its_alert() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(NAMES)


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_nothing_is_forgotten_when_the_machine_is_off_at_night(rule: dict[str, Any]) -> None:
    """A pending alert starts anew after an outage of over an hour; a working day has ten hours and more."""
    match = re.fullmatch(r"(\d+)([mh])", rule.get("for", "0m"))
    assert match, rule["for"]
    assert int(match[1]) * (60 if match[2] == "h" else 1) <= 6 * 60


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_no_alert_is_about_a_figure_that_rocketchat_refreshes_once_a_day(rule: dict[str, Any]) -> None:
    stale = {name for name, metric in LISTED.items() if metric.get("live") is False}
    assert stale
    assert not metrics_of(rule["expr"]) & stale


# Metrics


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (a, b) (rate(x_total{job="y", z=~"w"}[5m])) > 1', {"x_total"}),
        ("a / on (c) group_left (d) b unless on () e:f:g offset 5m", {"a", "b", "e:f:g"}),
        ('label_replace(a, "host", "$1", "name", "(.+)") or vector(0)', {"a"}),
        ("time() - a < bool 3 * 86400 and b == 1e3", {"a", "b"}),
    ],
)
def test_metrics_are_found_in_expressions(expression: str, names: set[str]) -> None:
    assert metrics_of(expression) == names


def asked() -> dict[str, set[str]]:
    found = {rule.get("alert") or rule["record"]: metrics_of(rule["expr"]) for rule in rules()}
    found |= {where: metrics_of(query) for where, query in QUERIES.items()}
    return found


@pytest.mark.parametrize(("where", "names"), asked().items(), ids=asked())
def test_every_metric_that_is_asked_for_exists(where: str, names: set[str]) -> None:
    assert names - {"ALERTS"} <= set(LISTED) | RECORDED, where


def test_every_metric_that_is_listed_is_asked_for() -> None:
    used = set().union(*asked().values())
    assert {name for name in LISTED if name not in used} == set()


def test_the_contract_of_our_own_metrics_keeps_its_rules() -> None:
    ours = [metric for metric in LISTED.values() if metric["source"] == "groundcrew"]
    assert len(ours) > 30
    for metric in ours:
        name = metric["name"]
        assert re.fullmatch(r"groundcrew_[a-z]+(_[a-z]+)*", name)
        assert metric["type"] == "gauge", name
        assert metric["help"].endswith("."), name
        assert not {"job", "instance", "id", "set", "user"} & set(metric.get("labels", [])), name
        assert len(metric.get("labels", [])) <= 2, name
        assert set(metric.get("values", {})) <= set(metric.get("labels", [])), name
        # Instants, never ages: an age would stand still between scrapes.
        assert not re.search(r"_(age|ago|since_seconds)", name)
        assert not name.endswith(("_total", "_milliseconds", "_minutes", "_hours", "_percent", "_megabytes"))


def test_promtool_finds_nothing_to_better_in_our_own_metrics() -> None:
    lines = []
    for metric in LISTED.values():
        if metric["source"] == "groundcrew":
            labels = ",".join(f'{label}="x"' for label in metric.get("labels", []))
            lines += [
                f"# HELP {metric['name']} {metric['help']}",
                f"# TYPE {metric['name']} {metric['type']}",
                f"{metric['name']}{{{labels}}} 1",
            ]
    done = run("promtool", "prometheus", "check", "metrics", stdin="\n".join(lines) + "\n")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_jobs_queues_and_states_in_the_contract_are_those_of_the_code() -> None:
    from shared.power.model import PowerStatus

    states = LISTED["groundcrew_power_state"]["values"]["state"]
    assert set(states) == {state.value for state in PowerStatus}
    host = (ROOT / "functions").glob("*.py")
    queues = set(re.findall(r'queue_name="([a-z-]+)"', "".join(path.read_text() for path in host)))
    assert queues <= set(LISTED["groundcrew_queue_poison_messages"]["values"]["queue"])


# Dashboards


def test_promtool_can_read_every_query_of_every_panel(tmp_path: Path) -> None:
    """Each as a rule of its own, with what Grafana fills in."""
    texts = [query.replace("$__rate_interval", "5m") for query in QUERIES.values()]
    assert len(texts) > 50
    rule = [{"record": f"query:{index}:one", "expr": text} for index, text in enumerate(texts)]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rule}]}))
    done = promtool("check", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "path", sorted((GENERATED / "dashboards").glob("*.json")), ids=lambda path: path.stem
)
def test_a_dashboard_has_what_grafana_and_its_readers_need(path: Path) -> None:
    page = json.loads(path.read_text())
    assert page["uid"] == path.stem
    assert page["id"] is None
    assert page["schemaVersion"] >= 41
    assert [one["type"] for one in page["templating"]["list"]] == ["datasource"]
    drawn = [panel for panel in page["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in page["panels"]}) == len(page["panels"])
    for panel in drawn:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert "<" not in re.sub(r"<=?\s", "", target["expr"]), "a goal was not filled in"
            assert "rate(" not in target["expr"] or "$__rate_interval" in target["expr"]
    cells = [
        (panel["gridPos"]["x"] + column, panel["gridPos"]["y"] + row)
        for panel in page["panels"]
        for column in range(panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < 24


# Settings


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("machine: rocketchat", "machine: rocketchart", "'rocketchart' is not in the policy"),
        ("years: [2026, 2027]", "years: [2027, 2026]", "years: '[2027, 2026]' is not [first, last]"),
        ("years: [2026, 2027]", "years: 2026", "years: '2026' is not [first, last]"),
        ("availability: 99.5", "availability: 99.99", "slo.availability: '99.99' is not from 90 to 99.95"),
        ("latency_seconds: 1", "latency_seconds: 0", "slo.latency_seconds: '0'"),
        ("probe: https://", "probe: http://", "is no https address"),
        ("start_grace: 15m\n", "", "missing or unknown: start_grace"),
    ],
)
def test_settings_that_cannot_be_are_named(old: str, new: str, told: str) -> None:
    assert old in SETTINGS
    with pytest.raises(SettingsError) as caught:
        load_settings(SETTINGS.replace(old, new), POLICY)
    assert told in str(caught.value)


def test_a_panel_without_a_word_on_what_it_shows_is_refused() -> None:
    text = (MONITORING / "dashboards.yaml").read_text()
    broken = re.sub(r"\n          about: .*", "", text, count=1)
    with pytest.raises(SettingsError, match="Answers now: unknown or missing: about"):
        read_pages(read_settings().objective, broken)
