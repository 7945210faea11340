"""Prometheus itself reads the rules, their tests, and each expression of the dashboard."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.test_monitoring import MONITORING, expressions


def promtool(*words: str) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts.test.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_no_fault(words: tuple[str, ...]):
    promtool(*words[:-1], str(MONITORING / words[-1]))


def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path):
    asked = [one.replace("$__rate_interval", "1m") for one in expressions()]
    rules = [{"record": f"dashboard:{n}", "expr": expression} for n, expression in enumerate(asked)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))
