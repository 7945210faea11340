"""What an address or a form asks for. Only this module reads query parameters and plain form fields.

Every reader is total: a missing, odd or out-of-range value gives the default. So no address can break a page.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from django.http import HttpRequest, QueryDict
from django_htmx.middleware import HtmxDetails

from federation import parsing

MOST_PAGE = 1_000_000
LONGEST = 200  # characters of a text to search for or choose by


class Parameters:
    """values: a request's GET or POST, or any mapping of text."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def text(self, name: str, *, longest: int = LONGEST) -> str:
        """The text, stripped, cut, and without characters that a database cannot store."""
        value = self._values.get(name, "")
        return _storable(value)[:longest].strip() if isinstance(value, str) else ""

    def choice(self, name: str, known: Container[str], default: str = "") -> str:
        found = self.text(name)
        return found if found in known else default

    def whole(self, name: str, *, least: int = 0, most: int = parsing.LARGEST) -> int | None:
        return parsing.whole(self.text(name), least=least, most=most)

    def clamped(self, name: str, *, least: int, most: int) -> int:
        """A whole number, moved into its range; the least one if there is none."""
        found = self.whole(name)
        return least if found is None else min(most, max(least, found))

    def wholes(self, name: str) -> list[int]:
        """Each whole number under a name, once. The name may be repeated, and commas separate numbers."""
        given = self._values.getlist(name) if isinstance(self._values, QueryDict) else [self._values.get(name, "")]
        parts = [part for text in given if isinstance(text, str) for part in text.split(",")]
        found = (parsing.whole(part.strip()) for part in parts)
        return list(dict.fromkeys(number for number in found if number is not None))

    def number(self, name: str) -> float | None:
        """A finite number."""
        return parsing.decimal(self.text(name))

    def page(self) -> int:
        return self.clamped("page", least=1, most=MOST_PAGE)

    def has(self, name: str) -> bool:
        return name in self._values


def of(request: HttpRequest) -> Parameters:
    """What the address asks for."""
    return Parameters(request.GET)


def form(request: HttpRequest) -> Parameters:
    """What was posted, for posts of a field or two without a form class."""
    return Parameters(request.POST)


def standing_on(request: HttpRequest) -> str:
    """The path and query of the page that htmx calls from; empty if it is unknown or no address of ours."""
    htmx: HtmxDetails | None = getattr(request, "htmx", None)
    try:
        return (htmx.current_url_abs_path if htmx else None) or ""
    except ValueError:  # such as an IPv6 address without its end
        return ""


def _storable(text: str) -> str:
    return text.replace("\0", "").encode(errors="ignore").decode()
