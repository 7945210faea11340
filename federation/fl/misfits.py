"""Why two settings of a session do not go together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a choice does not fit a session. field: the setting to change, as the API calls it."""

    field: str
    sentence: str
