"""What the server refuses, and why. `str(error)` is a sentence for whoever asked."""

from collections.abc import Mapping, Sequence

MOST_ERRORS = 20  # errors that one answer names
MOST_SENTENCES = 5  # of them in its summary
MOST_NAME, MOST_SENTENCE = 100, 500  # characters


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


class Refused(Exception):
    """Base: the request was understood and is not allowed."""

    status = 400
    title = "Refused"

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})


class Unauthorized(Refused):
    status = 401
    title = "No valid token"


class Forbidden(Refused):
    status = 403
    title = "Not allowed"


class NotFound(Refused):
    """Also what belongs to somebody else: its existence is not told."""

    status = 404
    title = "Not found"


class Conflict(Refused):
    """The state does not allow it now."""

    status = 409
    title = "Not possible in this state"


class RoundClosed(Refused):
    status = 410
    title = "The round is closed"


class TooLarge(Refused):
    status = 413
    title = "Too large"


class Invalid(Refused):
    """Values that cannot be accepted, each named by its field."""

    status = 422
    title = "Values that cannot be accepted"

    def __init__(self, *errors: tuple[str, str], more: int = 0) -> None:
        """more: how many errors exist beside those given."""
        named = [(_cut(field, MOST_NAME), _cut(detail, MOST_SENTENCE)) for field, detail in errors[:MOST_ERRORS]]
        sentences = [detail for _, detail in named[:MOST_SENTENCES]]
        if more := more + len(errors) - len(sentences):
            sentences.append(f"{more} more {'value is' if more == 1 else 'values are'} invalid.")
        super().__init__(" ".join(sentences))
        self.errors: Sequence[tuple[str, str]] = named


class TooMany(Refused):
    """More requests than one caller may make."""

    status = 429
    title = "Too many requests"


class Locked(Refused):
    """Somebody else is writing the same upload."""

    status = 423
    title = "Upload in progress"


class ChecksumMismatch(Refused):
    """tus 1.0, checksum extension."""

    status = 460
    title = "Checksum mismatch"


class Gone(Refused):
    """It was here, and was removed or lost."""

    status = 410
    title = "Not kept"


class Unavailable(Refused):
    """Not now; asked again later it may be."""

    status = 503
    title = "Not now"


class StorageFull(Refused):
    status = 507
    title = "The disk is full"
