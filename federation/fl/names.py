"""The names of clients, as the server and the agents take them."""

import unicodedata

LONGEST = 64
SIGNS = " .@+-_"  # besides letters, their marks and digits
ALLOWED = f"1 to {LONGEST} letters, digits, spaces or . _ @ + -, beginning with a letter or digit"


def normal(name: str) -> str:
    """A name in its stored form: NFC, single spaces, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def is_valid(name: str) -> bool:
    """Whether a name is valid: letters, marks and digits of any script, no control characters or direction marks."""
    kinds = [unicodedata.category(sign)[0] for sign in name]
    fit = all(kind in "LMN" or sign in SIGNS for kind, sign in zip(kinds, name, strict=True))
    return 1 <= len(name) <= LONGEST and fit and (kinds[0] in "LN" or name[0] == "_")
