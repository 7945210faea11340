"""The models that many clients share: fetched once, and there for as long as one of them needs them."""

import threading
from pathlib import Path

from clientagent.api import Api
from clientagent.crowd.sharing import SharedModels
from clientagent.kinds import training
from clientagent.models import KEEP
from clientagent.work import BaseModel
from tests.clientagent.fake_server import FakeServer


def base_of(server: FakeServer, size: int) -> BaseModel:
    return training.parse(server.offer(options={"num_parameters": size}).work).base


def test_a_model_that_several_want_at_once_is_fetched_once(server: FakeServer, api: Api, tmp_path: Path):
    models, base = SharedModels(tmp_path, alone=True), base_of(server, 100)
    found: list[Path] = []
    others = [api.another(threading.Event()) for _ in range(5)]
    threads = [
        threading.Thread(target=lambda each=each: found.append(models.of_client().fetch(each, base, lambda _: None)))
        for each in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for each in others:
        each.close()
    assert len(found) == 5 and len(set(found)) == 1
    assert len(server.requests("GET", "/models/")) == 1


def test_a_model_stays_while_one_client_works_on_it_and_then_goes(server: FakeServer, api: Api, tmp_path: Path):
    models = SharedModels(tmp_path, alone=True)
    working, busy = models.of_client(), models.of_client()
    first = working.fetch(api, base_of(server, 100), lambda _: None)
    for size in range(101, 105):
        busy.fetch(api, base_of(server, size), lambda _: None)
        busy.release()
    assert first.exists() and len(list(tmp_path.glob("*.safetensors"))) <= KEEP + 2
    working.release()
    busy.fetch(api, base_of(server, 105), lambda _: None)
    assert not first.exists()
