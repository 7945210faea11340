"""Examples with libraries that the product does not have, and torchrun, in one server that never starts again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import example_data as data
from tests.e2e.examples import Example, take_part
from tests.e2e.stack import Stack, running

OPERATORS = (Path(__file__).parent / "operators",)
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
HERE = [
    Example("trainer", "bert", data.numbers, path=OPERATORS),
    Example("peft", "peft", data.numbers, travels=10, path=OPERATORS),  # 2 layers, 2 adapters of 2 tensors; the head
    Example("torchrun", "digits-with-torchrun", data.numbers, least=0.2, travels=4, by=TORCHRUN),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("users") / "data") as stack:
        yield stack


@pytest.mark.parametrize("example", HERE, ids=str)
def test_an_example_takes_part(stack: Stack, example: Example, tmp_path: Path):
    take_part(stack, example, tmp_path)
