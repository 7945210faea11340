"""The clients of one process: names, folders, shares of the data."""

from pathlib import Path

import pytest

from clientagent.crowd import naming
from clientagent.errors import Misconfigured
from clientagent.settings import Settings
from clientagent.state import Identity, State


def settings(tmp_path: Path, clients: int, **more: object) -> Settings:
    return Settings(clients=clients, name="sim", state=tmp_path, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "clients, first, last", [(1, "sim-1", "sim-1"), (8, "sim-1", "sim-8"), (100, "sim-001", "sim-100")]
)
def test_names_are_numbered_by_the_width_of_the_number(tmp_path: Path, clients: int, first: str, last: str):
    members = naming.members(settings(tmp_path, clients))
    assert (members[0].name, members[-1].name) == (first, last)
    assert [each.state for each in members] == [tmp_path / str(each.name) for each in members]


def test_each_has_its_share_of_the_data(tmp_path: Path):
    members = naming.members(settings(tmp_path, 3, partition="dirichlet:0.5"))
    assert [(each.partition, each.shard) for each in members] == [
        ("dirichlet:0.5", "1/3"),
        ("dirichlet:0.5", "2/3"),
        ("dirichlet:0.5", "3/3"),
    ]
    assert naming.members(settings(tmp_path, 2))[1].partition == "iid"


def test_a_name_that_is_too_long_with_its_number_is_refused(tmp_path: Path):
    too_long = Settings(clients=100, name="n" * 62, state=tmp_path)
    with pytest.raises(Misconfigured, match="--name: with its number it becomes 'n+-001': use 1 to 64"):
        naming.members(too_long)


def test_the_folder_of_a_single_client_is_refused(tmp_path: Path):
    state = State(tmp_path)
    state.save(Identity("http://127.0.0.1:1", "site-a", "token", client_id="1"))
    state.close()
    with pytest.raises(Misconfigured, match="belongs to a single client. Give another --state for 5 clients"):
        naming.members(settings(tmp_path, 5))


def test_clients_that_come_back_know_their_server(tmp_path: Path):
    members = naming.members(settings(tmp_path, 2))
    with pytest.raises(Misconfigured, match="Which server"):
        naming.server(members)
    state = State(tmp_path / "sim-2")
    state.save(Identity("http://127.0.0.1:9", "sim-2", "token", client_id="1"))
    state.close()
    assert naming.server(members) == "http://127.0.0.1:9"
    assert naming.server(naming.members(settings(tmp_path, 2, server="http://127.0.0.1:8"))) == "http://127.0.0.1:8"


def test_there_are_no_more_workers_than_clients(tmp_path: Path):
    assert naming.workers(settings(tmp_path, 2, workers=8)) == 2
    assert naming.workers(settings(tmp_path, 100, workers=8)) == 8
    assert naming.workers(settings(tmp_path, 100)) == naming.usable_cores()
