"""`manage.py settings_table`: every setting of a session as a table in Markdown, for docs/settings.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from federation import setting_kinds
from federation.fl import options
from federation.fl.options import Option
from federation.session_settings import SETTINGS, Group

FILE = Path(settings.BASE_DIR) / "docs" / "settings.md"
HEAD = """# Settings of a session

Made by `manage.py settings_table` from the declarations in `federation/session_settings.py`.
"""
COLUMNS = "| setting | on pages | values | default | |\n|---|---|---|---|---|"


class Command(BaseCommand):
    help = "Write docs/settings.md from the declared settings."

    def handle(self, *args: Any, **kwargs: Any) -> None:
        FILE.write_text(document())


def document() -> str:
    """The whole file."""
    return "\n".join([HEAD, *(part for group in Group for part in _group(group))])


def _group(group: Group) -> Iterator[str]:
    yield f"## {group}\n\n{COLUMNS}"
    members = [option for option in SETTINGS.values() if option.group == group]
    for option in members:
        yield _row(option.name, option)
        if isinstance(option.kind, setting_kinds.Together):
            yield from (_row(f"{option.name}.{one.name}", one) for one in option.kind.options)
    yield ""
    for option in members:
        if isinstance(option.kind, setting_kinds.Named):
            yield from _choices(option.name, option.kind.known)


def _choices(name: str, known: Mapping[str, setting_kinds.Declared]) -> Iterator[str]:
    for one in known.values():
        yield f"`{name}: {one.name}` ({one.title}). {one.summary}\n"
        if one.options:
            yield "\n".join([COLUMNS, *(_row(f"{name}.options.{option.name}", option) for option in one.options), ""])


def _row(name: str, option: Option) -> str:
    default = option.empty or "" if option.default in (None, "", ()) else _shown(option.default)
    return f"| `{name}` | {option.title} | {_values(option)} | {default} | {option.help} |"


def _values(option: Option) -> str:
    kind = option.kind
    if isinstance(kind, setting_kinds.Whole):
        return "a whole number from {:,} to {:,}".format(*setting_kinds.limits(option))
    if isinstance(kind, setting_kinds.OneOf | setting_kinds.SomeOf):
        return ", ".join(f"`{one}`" for one in kind.values)
    if isinstance(kind, setting_kinds.Named):
        return ", ".join(f"`{one}`" for one in kind.known)
    words: Mapping[type, str] = {
        setting_kinds.Text: "text",
        setting_kinds.Switch: "yes or no",
        setting_kinds.Tags: "tags",
        setting_kinds.Globs: "patterns of names",
        setting_kinds.Together: "as follows",
        setting_kinds.MeasureName: "a measure",
        setting_kinds.StoredModel: "a model",
    }
    return words.get(type(kind)) or options.allowed(option)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "the workload's own"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(f"`{one}`" for one in value) if isinstance(value, tuple) else f"`{value}`"
