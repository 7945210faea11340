"""What an agent says of its machine and data, member by member: the table of what is known and what each may be.

`info` is free-form JSON, and agents are older and newer than the server. So nothing in it is refused: a member that
is not in the table is dropped, and so is one whose value cannot be, which is named to whoever asks.
To add a member, add it to `Info`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from federation import parsing

MAX_BYTES = 16 << 10  # of the whole as JSON
MOST_COUNT = 10**12
MOST_LABELS = 1000
MOST_WORKLOADS = 200
MOST_WORDS = 50
LABEL_LENGTH = 40
WORD = re.compile("[a-z][a-z0-9_]{0,39}")


def _text(longest: int) -> BeforeValidator:
    def read(value: Any) -> str:
        text = str(value) if type(value) is int and abs(value) <= parsing.LARGEST else value
        found = parsing.label(text, longest=longest) if isinstance(text, str) else None
        if found is None:
            raise PydanticCustomError("text", f"must be 1 to {longest} printable characters")
        return found

    return BeforeValidator(read)


def _counts(value: Any) -> dict[str, int]:
    """Counts by label. Sites choose what they send: what is no count is left out."""
    if not isinstance(value, dict):
        raise PydanticCustomError("counts", "must be an object of counts by label")
    found: dict[str, int] = {}
    for name, count in value.items():
        if _is_count(count) and (label := _label(name)):
            found[label] = count
    if len(found) > MOST_LABELS:
        raise PydanticCustomError("counts", f"must have at most {MOST_LABELS} labels")
    return found


def _label(name: Any) -> str | None:
    return parsing.label(name[:LABEL_LENGTH], longest=LABEL_LENGTH) if isinstance(name, str) else None


def _digests(value: Any) -> dict[str, str]:
    """The digest of each workload's source, by its name."""
    return {name: digest for name, digest in _by_workload(value).items() if _is_digest(digest)}


def _examples(value: Any) -> dict[str, int]:
    """How many examples there are for each workload, by its name."""
    return {name: count for name, count in _by_workload(value).items() if _is_count(count)}


def _words(value: Any) -> list[str]:
    """Names of what an agent can do, sorted. Those that are no names are left out."""
    if not isinstance(value, list) or len(value) > MOST_WORDS:
        raise PydanticCustomError("words", f"must be a list of at most {MOST_WORDS} words")
    return sorted({word for word in value if isinstance(word, str) and WORD.fullmatch(word)})


def _by_workload(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > MOST_WORKLOADS:
        raise PydanticCustomError("workloads", f"must be an object of at most {MOST_WORKLOADS} workloads")
    named = {parsing.label(name, longest=64): told for name, told in value.items() if isinstance(name, str)}
    return {name: told for name, told in named.items() if name}


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_COUNT


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and parsing.label(value, longest=128) == value


Short = Annotated[str, _text(64)]
Line = Annotated[str, _text(200)]
Count = Annotated[int, Field(strict=True, ge=0, le=MOST_COUNT)]


class Info(BaseModel):
    """What is known of an agent, each member in its range. None or empty: it did not say."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: Short = ""
    device: Short = ""
    platform: Line = ""
    python: Short = ""
    gpu: Line = ""
    cores: Annotated[int, Field(strict=True, ge=1, le=1 << 20)] | None = None
    memory: Annotated[int, Field(strict=True, ge=0, le=1 << 60)] | None = None  # bytes
    num_examples: Count | None = None  # of `examples`, or of no workload in particular
    examples: Annotated[dict[str, int], BeforeValidator(_examples)] | None = None
    label_histogram: Annotated[dict[str, int], BeforeValidator(_counts)] | None = None
    data_fingerprint: Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9A-Za-z_:+/=.-]{1,128}$")] = ""
    kinds: Annotated[list[str], BeforeValidator(_words)] = []
    understands: Annotated[list[str], BeforeValidator(_words)] = []
    workloads: Annotated[dict[str, str], BeforeValidator(_digests)] | None = None
    catalogue: Annotated[dict[str, str], BeforeValidator(_digests)] | None = None  # of it the digests are kept here


def of(given: object) -> Info:
    """What can be used of what an agent sent, whenever that was. Never raises."""
    return checked(given)[0]


def checked(given: object) -> tuple[Info, list[str]]:
    """The same, with the names of the members that were left out because of their values."""
    told: Mapping[Any, Any] = given if isinstance(given, Mapping) else {}
    said = {name: told[name] for name in Info.model_fields if told.get(name) is not None}
    wrong: set[str] = set()
    while True:
        try:
            return Info.model_validate({name: said[name] for name in said.keys() - wrong}), sorted(wrong)
        except ValidationError as error:
            wrong |= {str(one["loc"][0]) for one in error.errors(include_url=False, include_input=False)}


def kept(info: Info) -> dict[str, Any]:
    """As the database keeps it: what the agent said, and nothing else."""
    return info.model_dump(exclude_unset=True)
