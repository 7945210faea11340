"""Names that look alike to a person, because letters of different scripts look alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

# After Unicode's confusables (UTS 39): the Cyrillic and Greek letters, and the digits, that look like Latin ones.
DRAWN_ALIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухԁһԛԝ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαιονρυ" + "01I",
    "ABESIJKMHOPCTYXaesijopcyxdhqw" + "ABEZHIKMNOPTYXaiovpu" + "oll",
)


def key(name: str) -> str:
    """A key that is equal for names that differ only in case, whatever the database's own idea of case."""
    return unicodedata.normalize("NFC", name).casefold()


@lru_cache(20_000)  # each enrolment compares with all names
def skeleton(name: str) -> str:
    """A key that is equal for names that look alike, whatever their case and the width of their letters."""
    drawn = unicodedata.normalize("NFKC", name).translate(DRAWN_ALIKE)
    return drawn.casefold().translate(DRAWN_ALIKE).replace("i", "l")


def of(name: str, others: Iterable[str]) -> list[str]:
    """The other names that look like this one."""
    looks = skeleton(name)
    return [other for other in others if skeleton(other) == looks and other.casefold() != name.casefold()]
