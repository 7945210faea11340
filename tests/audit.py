"""`make audit`: the known vulnerabilities of the locked packages.

    python tests/audit.py PIP_AUDIT LOCK

PIP_AUDIT is the program, LOCK a requirements file with hashes. The package index answers what is known. pip-audit
reports no vulnerability where the index knows nothing at all. So the index is first asked about a package that has
known ones; without them, nothing is said about the others.

Ends with status 0 if every package was looked up and none is vulnerable.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VULNERABLE = "jinja2==2.4.1"
INCOMPLETE = """Known vulnerabilities were NOT looked up: {why}
What is missing is a package index that lists vulnerabilities, and a network that reaches it. Run `make audit` where
there is one, or give var/sbom.json to a scanner."""


class Unanswered(Exception):
    """The index did not answer. str(error) says why, as the rest of a sentence."""


@dataclass(frozen=True)
class Answer:
    """`vulnerable`: what is known of each package, by its name and version. `skipped`: why a package has no answer."""

    looked_up: int
    vulnerable: Mapping[str, list[str]]
    skipped: Mapping[str, str]


def main(arguments: Sequence[str]) -> int:
    program, lock = arguments
    try:
        check_index(program)
        answer = ask(program, Path(lock))
    except Unanswered as why:
        print(INCOMPLETE.format(why=why))
        return 1
    report(answer)
    return int(bool(answer.vulnerable or answer.skipped))


def check_index(program: str) -> None:
    """Raises Unanswered if the index does not know the vulnerabilities of VULNERABLE."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text(f"{VULNERABLE}\n")
        if not ask(program, file).vulnerable:
            raise Unanswered(f"the package index lists none for {VULNERABLE}, which has some.")


def ask(program: str, requirements: Path) -> Answer:
    """What the index knows of the packages in the file, which installs nothing."""
    options = ["--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([program, "--requirement", str(requirements), *options], capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise Unanswered(f"pip-audit said {said[-1]!r}.") from None
    return read(packages)


def read(packages: Sequence[Mapping[str, Any]]) -> Answer:
    """pip-audit's JSON: a package has a version and `vulns`, or a reason why it has none."""
    skipped = {one["name"]: one["skip_reason"] for one in packages if "skip_reason" in one}
    known = {f"{one['name']} {one['version']}": one["vulns"] for one in packages if one.get("vulns")}
    vulnerable = {name: [sentence(vulnerability) for vulnerability in found] for name, found in known.items()}
    return Answer(len(packages) - len(skipped), vulnerable, skipped)


def sentence(vulnerability: Mapping[str, Any]) -> str:
    fixed = ", ".join(vulnerability["fix_versions"])
    return f"{vulnerability['id']}, {f'fixed in {fixed}' if fixed else 'not fixed in any version'}"


def report(answer: Answer) -> None:
    for name, vulnerabilities in answer.vulnerable.items():
        for one in vulnerabilities:
            print(f"VULNERABLE: {name}: {one}")
    for name, why in answer.skipped.items():
        print(f"NOT LOOKED UP: {name}: {why}")
    print(f"{answer.looked_up} packages looked up, {len(answer.vulnerable)} with known vulnerabilities.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
