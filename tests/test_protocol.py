"""docs/protocol.md says what the code does: its examples fit the schemas, its tables have every member."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from federation.api import schemas
from federation.api.openapi import REFUSALS
from federation.api.schemas.agents import MetricPoint, Timings
from federation.api.urls import api
from federation.fl.measures import PREFIXES
from federation.models import Phase
from federation.services import info
from federation.work import KINDS

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "protocol.md").read_text()
CLIENT = TEXT[: TEXT.index("# What operators and their programs call")]
EXAMPLES = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)]
WORKS = [one for one in EXAMPLES if "kind" in one]


def section(title: str) -> str:
    """From a heading to the next one of its level or above."""
    level, text = re.findall(rf"^(#+) {re.escape(title)}\n(.*)", TEXT, re.MULTILINE | re.DOTALL)[0]
    return re.split(rf"^#{{1,{len(level)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> set[str]:
    """What stands in the first column of the tables, a name each."""
    firsts = re.findall(r"^\| (`[^|]+?) \|", text, re.MULTILINE)
    return {name for first in firsts for name in re.findall(r"`([\w.]+)`", first)}


def with_digests(value: Any) -> Any:
    """The example with digests where it says `…`."""
    if isinstance(value, dict):
        return {name: with_digests(part) for name, part in value.items()}
    return "0" * 64 if value == "…" else value


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work["kind"])
def test_the_examples_of_work_have_every_member(work):
    read = schemas.Work.model_validate(with_digests(work)).root
    assert work.keys() == read.model_dump(by_alias=True, exclude_unset=True).keys()
    optional = {"encoding_options", "slots", "stays", "frozen", "fine_tune"} & set(type(read).model_fields)
    assert type(read).model_fields.keys() - optional == work.keys()
    assert {name: type(read).model_fields[name].is_required() for name in work} == dict.fromkeys(work, True)


def test_there_is_an_example_of_each_kind():
    assert [one["kind"] for one in WORKS] == list(KINDS)


def test_the_example_of_a_result_is_one():
    (result,) = [one for one in EXAMPLES if "counts" in one]
    assert schemas.Result.model_validate(result).model_dump() == result


@pytest.mark.parametrize(
    ("title", "members"),
    [
        ("Asking for work", {*schemas.Work.model_json_schema()["$defs"]["TrainingWork"]["properties"]}),
        ("Joining", {*schemas.Enrolment.model_fields}),
        ("Saying how far it is", {*schemas.Progress.model_fields}),
        ("Sending the update", {"num_examples", "base_digest", "metrics", "encoding"}),
        ("What a client says of itself", {*info.Info.model_fields, *schemas.Entry.model_fields}),
        ("Other kinds of work", {*schemas.Result.model_fields}),
    ],
)
def test_a_table_names_each_member(title: str, members: set[str]):
    assert members <= rows(section(title))


def test_points_phases_and_prefixes_are_named():
    told = section("Saying how far it is")
    for name in (*MetricPoint.model_fields, *Timings.model_fields, *Phase.values, *PREFIXES):
        assert re.search(rf"\b{name}", told), name


def test_each_status_that_a_client_may_get_says_what_to_do():
    told = section("What all calls have in common") + section("Getting the model")
    wanted = REFUSALS.keys() - {"416"}  # of a range that nobody asks for who follows the text
    assert {status for status in wanted if not re.search(rf"\b{status}\b", told)} == set()


def test_every_call_of_an_agent_is_described():
    for path, operations in api.get_openapi_schema()["paths"].items():
        if any("agents" in one.get("tags", ()) for one in operations.values() if isinstance(one, dict)):
            last = path.rsplit("/", 1)[-1]
            assert (f"/{last}" in CLIENT) or last in ("update", "{digest}", "state_dict"), path
