"""What the server refuses, and why. `str(error)` is a sentence for whoever asked."""

from collections.abc import Mapping, Sequence


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

    def __init__(self, *errors: tuple[str, str]) -> None:
        super().__init__(" ".join(detail for _, detail in errors))
        self.errors: Sequence[tuple[str, str]] = errors


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
