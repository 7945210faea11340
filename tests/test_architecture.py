"""What may be imported where."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        ("federation.fl.strategies, federation.fl.aggregation, federation.fl.workloads", ("django", "torch")),
        ("clientagent.agent, clientagent.cli", ("django",)),
        ("flsite.embedded, federation.fl.workloads, federation.storage", ("torch",)),
    ],
)
def test_a_part_is_imported_without_what_it_must_not_need(modules, forbidden):
    code = f"import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'flsite.settings'; import {modules}, sys; "
    code += f"found = [m for m in {forbidden} if m in sys.modules]; sys.exit(', '.join(found) or None)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
