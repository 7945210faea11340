"""Every address of the dashboard, and every query parameter and form field that its code reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from django.urls import URLPattern, reverse

import flsite.urls  # noqa: F401  it registers what the patterns are made of
from dashboard import urls
from dashboard.pages.alerts.forms import RuleForm
from dashboard.pages.clients.forms import InviteForm
from dashboard.pages.new_session.forms import NewSessionForm
from dashboard.pages.session.forms import MoreForm

DASHBOARD = Path(urls.__file__).parent
READS = re.compile(r"\.(?:text|choice|whole|wholes|clamped|number|has)\(\s*\"(\w+)\"")


def sources() -> Iterator[tuple[Path, str]]:
    for file in sorted(DASHBOARD.rglob("*.py")):
        yield file, file.read_text()


def parameters() -> list[str]:
    """The names that the code asks an address or a form for, found in the code itself."""
    found = {"page", "seconds", "participation"}
    for _, text in sources():
        found |= set(READS.findall(text))
    return sorted(found)


def fields() -> list[str]:
    """The fields of all forms, beside those."""
    made = (NewSessionForm(), MoreForm(), InviteForm(), RuleForm())
    return sorted({name for form in made for name in form.fields} | set(parameters()))


def all_of(ids: Mapping[str, int | str]) -> list[str]:
    return [address(pattern, ids) for pattern in urls.urlpatterns]


def with_ids(ids: Mapping[str, int | str]) -> list[str]:
    return [address(pattern, ids) for pattern in urls.urlpatterns if pattern.pattern.converters]


def address(pattern: URLPattern, ids: Mapping[str, int | str]) -> str:
    return reverse(str(pattern.name), kwargs={name: ids[name] for name in pattern.pattern.converters})
