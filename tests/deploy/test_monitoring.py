"""The dashboard, the alert rules and their documentation name figures that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from federation import meters

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy/monitoring"
NAME = re.compile(r"\bfl_\w+")


def known() -> set[str]:
    """The names under which Prometheus keeps what /metrics says."""
    found = set()
    for family in meters.registry.collect():
        match family.type:
            case "counter":
                found.add(f"{family.name}_total")
            case "histogram":
                found |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
            case _:
                found.add(family.name)
    return found


def expressions() -> Iterator[str]:
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def test_the_dashboard_asks_for_figures_that_there_are():
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert asked and asked <= known()


def test_the_dashboard_shows_every_figure():
    asked = " ".join(expressions())
    families = {family.name for family in meters.registry.collect()} - {"fl_open_rounds"}  # its seats tell more
    assert {name for name in families if name not in asked} == set()


def test_no_two_panels_lie_on_each_other():
    places = set()
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & places, panel["title"]
        places |= cells


def test_the_alert_rules_ask_for_figures_that_there_are():
    asked = set(NAME.findall((MONITORING / "alerts.yml").read_text()))
    assert len(asked) > 6 and asked <= known()


def test_every_figure_is_documented():
    table = set(re.findall(r"^\| `(fl_\w+)", (ROOT / "docs/monitoring.md").read_text(), re.MULTILINE))
    names = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in meters.registry.collect()
    }
    assert table == names


def test_every_alert_is_documented_and_tested():
    alerts = set(re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text()))
    documented = (ROOT / "docs/monitoring.md").read_text()
    tested = (MONITORING / "alerts.test.yml").read_text()
    assert {name for name in alerts if f"`{name}`" not in documented or f"alertname: {name}" not in tested} == set()
