"""Sessions of which tensors stay at the sites: what is refused, who is asked, what may be sent, what is made."""

from dataclasses import replace

import numpy as np
import pytest

from federation import storage
from federation.errors import Invalid
from federation.fl import weights
from federation.fl.workloads import layouts
from federation.fl.workloads.synthetic import Synthetic
from federation.lifecycle import SessionStatus
from federation.models import GlobalModel
from federation.services import models, rounds, sessions
from federation.services.models import building
from federation.services.seats import updates
from federation.session_settings import Spec
from federation.work import KINDS, describe
from tests.federation.cast import seat_of, settle, update
from tests.federation.services.test_who_is_asked import left_out, names, same

pytestmark = pytest.mark.django_db
KNOWS = {"understands": ["buffers", "state", "stays"]}
SPEC = Spec(name="one", workload="digits", rounds=4)
HEAD, VAR = "head.weight", "bn.running_var"


def tensors(body=0.0, head=0.0, var=0.0):
    return {"body.weight": np.full(4, body, np.float32), HEAD: np.float32([head]), VAR: np.float32([var])}


@pytest.fixture(autouse=True)
def unknown(monkeypatch):
    """The quick workload of these tests is known by its models alone, which each test gives it."""
    monkeypatch.delitem(layouts._SHAPES, "synthetic")


@pytest.fixture
def publish(now):
    def publish(session):
        with storage.scratch() as file:
            digest = weights.save(file, tensors(head=7.0, var=1.0))
            models.publish_initial(session.pk, file, digest, now=now)
        session.refresh_from_db()
        return session

    return publish


@pytest.fixture
def session(enrol, draft, publish, alice, now):
    """Round 1 is open for anna and ben."""

    def session(*stays, **change):
        enrol("anna", "ben", **same(), **KNOWS)
        made = draft(**{"quorum": 2, "rounds": 3, "stays": stays} | change)
        sessions.start(made, by=alice, now=now)
        publish(made)
        assert rounds.advance(made, now=now)
        return made

    return session


def send(name, now, **values):
    seat = seat_of(name)
    with storage.scratch() as file:
        file.write_bytes(update(seat, tensors={key: np.float32(value) for key, value in values.items()}))
        return updates.receive(seat, file, now=now)


# ---- what is refused


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"stays": ("fc9.*",)}, "stays", "'fc9.*' fits no tensor of the model, which has conv1.bias, conv1.weight"),
        ({"stays": ("*",)}, "stays", "'*' fit every tensor of the model"),
        ({"stays": ("a" * 201,)}, "stays", "is no pattern: use up to 200 printable characters"),
        ({"stays": ("a\nb",)}, "stays", "is no pattern"),
        ({"stays": tuple(f"x{n}" for n in range(51))}, "stays", "51 patterns are too many: use up to 50"),
        (
            {"stays": ("fc2.*",), "early_stop": {"patience": 3, "measured_by": "server"}},
            "early_stop.measured_by",
            "Choose clients",
        ),
    ],
)
def test_what_cannot_stay_is_refused(given, field, said):
    with pytest.raises(Invalid) as refused:
        sessions.check(replace(SPEC, **given))
    assert [name for name, _ in refused.value.errors] == [field]
    assert said in refused.value.errors[0][1]


def test_patterns_are_kept_once_and_without_spaces():
    assert sessions.check(replace(SPEC, stays=(" fc2.* ", "fc2.*", ""))).stays == ("fc2.*",)


def test_a_model_that_is_known_only_when_it_is_made_fails_the_session(draft, publish, alice, now):
    made = draft(stays=["fc9.*"])
    sessions.start(made, by=alice, now=now)
    publish(made)
    assert made.status == SessionStatus.FAILED
    assert "'fc9.*' fits no tensor of the model, which has bn.running_var, body.weight, head.weight." in made.reason


def test_the_model_that_a_session_starts_from_is_looked_at(followed, draft, publish):
    source = publish(draft())
    with pytest.raises(Invalid, match="fits no tensor"):
        draft(start_from=(source.pk, 0), stays=["fc9.*"])
    with pytest.raises(Invalid) as refused:
        draft(start_from=(source.pk, 0), frozen=["fc9.*"])
    assert [field for field, _ in refused.value.errors] == ["frozen"]
    begun = draft(start_from=(source.pk, 0), stays=["head*"])
    begun.refresh_from_db()
    assert begun.staying_tensors == [HEAD]


# ---- who is asked


def test_agents_that_cannot_are_left_out_and_the_page_says_so(session, enrol, now):
    enrol("old", **same(), understands=["buffers", "state"])
    enrol("silent")
    made = session("head*")
    assert names(made) == ["anna", "ben"]
    assert left_out(made, now) == [
        "Not asked: old, silent (their agents cannot keep tensors of their own; update them)."
    ]


def test_so_are_they_where_each_site_has_a_whole_model(enrol, running, monkeypatch, now):
    monkeypatch.setattr(Synthetic, "follows_settings", True, raising=False)
    enrol("anna", **same(), **KNOWS)
    enrol("old", **same(), understands=["buffers", "state"])
    made = settle(running(strategy="ditto"), now=now)
    assert names(made) == ["anna"]
    assert left_out(made, now) == ["Not asked: old (its agent cannot keep tensors of its own; update it)."]


def test_the_work_names_the_tensors_and_other_sessions_say_nothing(session, draft):
    session("head*", "bn*")
    assert describe(seat_of("anna"))["stays"] == [VAR, HEAD]


def test_a_usual_session_says_nothing_of_it(session):
    session()
    assert "stays" not in describe(seat_of("anna"))


# ---- what is sent, and what is made of it


def test_an_update_with_what_stays_is_refused(session, now):
    session("head*")
    said = "The model has no tensor head.weight. These stay at the site: head.weight."
    with pytest.raises(Invalid, match=said.replace(".", r"\.")):
        send("anna", now, **{"body.weight": [1] * 4, HEAD: [1], VAR: [0]})


def test_an_encoded_update_with_a_buffer_that_stays_is_refused(session, now):
    session("bn*", compression="float16")
    seat = seat_of("anna")
    with storage.scratch() as file:
        parts = {
            "values/body.weight": np.zeros(4, np.float16),
            "values/head.weight": np.zeros(1, np.float16),
            f"values/{VAR}": np.zeros(1, np.float32),
        }
        file.write_bytes(update(seat, tensors=parts, encoding="float16"))
        with pytest.raises(Invalid, match="These stay at the site: bn.running_var"):
            updates.receive(seat, file, now=now)


def test_every_model_keeps_what_stays_as_it_was_and_can_be_made_again(session, now, tmp_path):
    made = session("head*", "bn*")
    for name, value in (("anna", 1.0), ("ben", 3.0)):
        assert send(name, now, **{"body.weight": [value] * 4})
    settle(made, now=now)
    model = GlobalModel.objects.get(session=made, version=1)
    found = weights.load(storage.path(model.digest))
    np.testing.assert_array_equal(found["body.weight"], np.full(4, 2.0))
    assert (found[HEAD], found[VAR]) == (7.0, 1.0)
    again = building.make(
        model.round, list(building.counted(model.round)), tmp_path / "m", tmp_path / "s", lambda: None
    )
    assert again.digest == model.digest


def test_what_sites_measure_offers_it_too(session):
    session("head*")
    assert KINDS["evaluate"].offer(seat_of("anna"))["stays"] == [HEAD]


# ---- frozen tensors


@pytest.fixture
def followed(monkeypatch):
    """The quick workload of these tests follows settings, as those with torch do."""
    monkeypatch.setattr(Synthetic, "follows_settings", True, raising=False)


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"frozen": ("fc9.*",)}, "frozen", "'fc9.*' fits no tensor of the model"),
        ({"frozen": ("*",)}, "frozen", "'*' fit every tensor of the model"),
        ({"frozen": ("conv*", "norm*"), "stays": ("fc*",)}, "frozen", "fit every tensor of the model that is trained"),
        ({"workload": "synthetic", "frozen": ("w*",)}, "frozen", "whose training follows a session's settings"),
    ],
)
def test_what_cannot_be_frozen_is_refused(given, field, said):
    with pytest.raises(Invalid) as refused:
        sessions.check(replace(SPEC, **given))
    assert [name for name, _ in refused.value.errors] == [field]
    assert said in refused.value.errors[0][1]


def test_agents_that_would_train_what_is_frozen_are_left_out(followed, session, enrol, now):
    enrol("new", **same(), understands=["frozen"])
    made = session(frozen=["head*"], quorum=1)
    assert names(made) == ["new"]
    assert left_out(made, now) == ["Not asked: anna, ben (their agents cannot freeze tensors; update them)."]
    assert describe(seat_of("new"))["frozen"] == [HEAD]


def test_every_model_has_what_is_frozen_as_version_0(followed, session, enrol, now):
    enrol("new", **same(), understands=["stays", "frozen"])
    made = session("bn*", frozen=["head*"], quorum=1)
    with pytest.raises(Invalid, match="These stay at the site: bn.running_var. These are frozen: head.weight."):
        send("new", now, **{"body.weight": [1] * 4, HEAD: [1]})
    assert send("new", now, **{"body.weight": [1] * 4})
    settle(made, now=now)
    found = weights.load(storage.path(GlobalModel.objects.get(session=made, version=1).digest))
    np.testing.assert_array_equal(found["body.weight"], np.ones(4))
    assert (found[HEAD], found[VAR]) == (7.0, 1.0)


def test_patterns_that_leave_nothing_are_found_with_the_model(followed, draft, publish, alice, now):
    made = draft(frozen=["head*"], stays=["body*"])
    sessions.start(made, by=alice, now=now)
    assert publish(made).status == SessionStatus.FAILED
    assert "fit every tensor of the model that is trained" in made.reason
