"""What `make audit` says about the packages: it calls nothing clean that nobody looked up."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import audit

FAKE = """#!{python}
import json, pathlib, sys
file = pathlib.Path(sys.argv[sys.argv.index("--requirement") + 1])
known = json.loads(pathlib.Path({answers!r}).read_text())
names = [line.split()[0] for line in file.read_text().splitlines() if "==" in line]
if not known:
    sys.exit("No connection")
packages = [dict(zip(("name", "version"), name.split("=="))) | known.get(name, {{"vulns": []}}) for name in names]
print(json.dumps({{"dependencies": packages, "fixes": []}}))
sys.exit(any(package.get("vulns") for package in packages))
"""
FLAW = {"id": "PYSEC-1", "fix_versions": ["2.5", "3.0"], "aliases": [], "description": ""}
LOCK = "django==5.2.19 \\\n    --hash=sha256:00\ntorch==2.13.0 ; sys_platform == 'linux' \\\n    --hash=sha256:01\n"
Audit = Callable[[dict[str, Any]], int]


@pytest.fixture
def audited(tmp_path: Path) -> Audit:
    """The status of an audit where the index knows this of packages by name and version; without any, it is away."""
    answers, program, lock = tmp_path / "answers.json", tmp_path / "pip-audit", tmp_path / "requirements.lock"
    program.write_text(FAKE.format(python=sys.executable, answers=str(answers)))
    program.chmod(0o700)
    lock.write_text(LOCK)

    def run(known: dict[str, Any]) -> int:
        answers.write_text(json.dumps(known))
        return audit.main([str(program), str(lock)])

    return run


GOOD_INDEX = {audit.VULNERABLE: {"vulns": [FLAW]}}


def test_packages_without_known_vulnerabilities_pass(audited: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited(GOOD_INDEX) == 0
    assert capsys.readouterr().out == "2 packages looked up, 0 with known vulnerabilities.\n"


def test_a_known_vulnerability_is_named_with_the_versions_that_fix_it(
    audited: Audit, capsys: pytest.CaptureFixture[str]
) -> None:
    unfixed = FLAW | {"id": "PYSEC-2", "fix_versions": []}
    assert audited(GOOD_INDEX | {"django==5.2.19": {"vulns": [FLAW, unfixed]}}) == 1
    said = capsys.readouterr().out
    assert "VULNERABLE: django 5.2.19: PYSEC-1, fixed in 2.5, 3.0\n" in said
    assert "VULNERABLE: django 5.2.19: PYSEC-2, not fixed in any version\n" in said
    assert said.endswith("2 packages looked up, 1 with known vulnerabilities.\n")


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({}, "pip-audit said 'No connection'."),
        ({"other": {}}, "the package index lists none for jinja2==2.4.1, which has some."),
        ({audit.VULNERABLE: {"skip_reason": "not there"}}, "the package index lists none for jinja2==2.4.1"),
    ],
)
def test_an_index_that_knows_nothing_is_no_proof(
    audited: Audit, capsys: pytest.CaptureFixture[str], known: dict[str, Any], why: str
) -> None:
    assert audited(known) == 1
    said = capsys.readouterr().out
    assert f"Known vulnerabilities were NOT looked up: {why}" in said
    assert "What is missing is a package index that lists vulnerabilities" in said


def test_a_package_that_was_not_looked_up_is_named(audited: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited(GOOD_INDEX | {"torch==2.13.0": {"skip_reason": "Dependency not found on the index"}}) == 1
    said = capsys.readouterr().out
    assert "NOT LOOKED UP: torch: Dependency not found on the index\n" in said
    assert said.endswith("1 packages looked up, 0 with known vulnerabilities.\n")
