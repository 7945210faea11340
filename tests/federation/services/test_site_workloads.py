"""Sessions of workloads that only sites have: what they declare is offered, checked, kept and trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from federation import catalogue, storage, work
from federation.errors import Invalid
from federation.fl import weights
from federation.fl.workloads import WORKLOADS
from federation.lifecycle import FileStatus, Origin, SessionStatus, WorkKind
from federation.models import Client, ModelUpload, TrainingSession
from federation.services import clients, models, repair, rounds, sessions, waiting
from federation.services.models import damage
from federation.session_settings import Spec
from tests.federation.cast import SIZE, damage_file, seat_of, send, settle
from tests.federation.services.declaring import DIGEST, NAME, entry, telling
from tests.federation.services.evaluating import measure, take

pytestmark = pytest.mark.django_db
SPEC = Spec(name="first", workload=NAME, rounds=2, quorum=2)
FIRST = {"weight": np.arange(SIZE, dtype=np.float32), "bn.running_var": np.ones(2, np.float32)}
OTHER = "e" * 64


@pytest.fixture
def launch(alice, now):
    def launch(initial_model=None, **change) -> TrainingSession:
        session = sessions.create(replace(SPEC, **change), by=alice, now=now, initial_model=initial_model)
        sessions.start(session, by=alice, now=now)
        return settle(session, now=now)

    return launch


@pytest.fixture
def sites(enrol):
    """Two have the workload, mallory another version of it, yan tells nothing."""
    enrol("anna", **telling())
    enrol("ben", **telling(entry(digest=OTHER)))
    enrol("mallory", **telling(entry(version="2")))
    enrol("yan")


def begin(name: str, now) -> None:
    take(name, now)
    assert send(name, weights.dump(FIRST), now=now)


def train(session: TrainingSession, *names: str, now) -> TrainingSession:
    delta = {name: np.zeros_like(array) for name, array in FIRST.items()}
    for name in names:
        seat = take(name, now)
        send(name, weights.dump(delta, {"num_examples": "5", "base_digest": seat.round.base.digest}), now=now)
    return settle(session, now=now)


def asked(session: TrainingSession) -> list[str]:
    round_ = session.active_round(of_any_kind=True)
    return sorted(seat.client.name for seat in round_.seats.all()) if round_ else []


def why(session: TrainingSession, now) -> str:
    return " ".join(one["detail"] for one in waiting.reasons(session, now=now))


# ---- what there is


def test_the_catalogue_says_who_has_which_version_and_source(sites):
    one, two = catalogue.of_sites()
    assert [(one.version, len(one.clients)), (two.version, len(two.clients))] == [("1.2", 2), ("2", 1)]
    assert {digest: [holder.name for holder in having] for digest, having in one.digests.items()} == {
        DIGEST: ["anna"],
        OTHER: ["ben"],
    }
    assert one.can_begin and not one.others
    assert catalogue.find(NAME).version == "1.2", "the version of most sites"
    assert catalogue.find(NAME, "2").version == "2" and catalogue.find(NAME, "3") is None


def test_what_most_sites_declare_counts_and_the_others_are_named(enrol):
    enrol("anna", **telling(entry(options=[])))
    enrol("ben", "carl", **telling(entry(digest=OTHER)))
    found = catalogue.find(NAME)
    assert [option.name for option in found.options] == ["width"] and found.declared.digest == OTHER
    assert [holder.name for holder in found.others] == ["anna"]


def test_of_a_client_that_is_disabled_or_removed_nothing_is_offered(enrol):
    (anna,) = enrol("anna", **telling())
    clients.set_enabled(anna, False, by="alice")
    assert catalogue.of_sites() == [] and catalogue.versions(NAME) == []


def test_it_takes_two_queries_for_any_number_of_clients(enrol, django_assert_num_queries):
    enrol("anna", "ben", "carl", **telling(entry(), entry(name="other")))
    with django_assert_num_queries(2):
        assert len(catalogue.of_sites()) == 2


# ---- what a session of one is


def test_a_session_keeps_what_the_sites_declare(sites, alice, now):
    session = sessions.create(replace(SPEC, workload_options={"width": 32}), by=alice, now=now)
    assert (session.workload_version, session.workload_digest) == ("1.2", DIGEST)
    assert session.workload_options == {"width": 32}
    assert session.train == {"epochs": 3, "batch_size": 8, "learning_rate": 0.05}
    assert session.main_measure == "auc"
    assert session.is_of_sites and session.told.measures[0].title == "AUC"
    again = sessions.spec_of(session)
    assert (again.workload_version, again.workload_options) == ("1.2", {"width": 32})


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        (
            {"workload": "chess"},
            "workload.name",
            "Choose one of: chest-xray, digits, fashion_mnist, images, mnist, "
            "synthetic, table, table_regression, text, threes_and_sevens.",
        ),
        (
            {"workload_version": "3"},
            "workload.version",
            "No site has chest-xray in version '3'. The sites have: 1.2, 2.",
        ),
        ({"workload_options": {"width": 0}}, "workload.options.width", "must be a whole number from 1 to 512, not 0."),
        ({"workload_options": {"depth": 1}}, "workload.options.depth", "has no option 'depth': it has width."),
        ({"main_measure": "dice"}, "main_measure", "choose one of auc"),
        ({"workload": "synthetic", "workload_version": "9"}, "workload.version", "Leave the version out."),
    ],
)
def test_what_no_site_declares_is_refused_by_name(sites, alice, now, change, field, sentence):
    with pytest.raises(Invalid) as refused:
        sessions.create(replace(SPEC, **change), by=alice, now=now)
    assert refused.value.errors[0][0] == field and sentence in refused.value.errors[0][1]


def test_the_server_cannot_stop_by_measuring_what_it_does_not_have(sites, alice, now):
    stop = {"patience": 2, "measured_by": "server"}
    with pytest.raises(Invalid, match="The server has no test set for chest-xray"):
        sessions.create(replace(SPEC, early_stop=stop), by=alice, now=now)


def test_a_setting_of_sites_has_no_effect_on_a_workload_of_the_server(alice, now):
    spec = replace(SPEC, workload="synthetic", workload_options={"num_parameters": SIZE}, equal_digests=True)
    assert not sessions.create(spec, by=alice, now=now).equal_digests


# ---- its life


def test_sites_that_fit_by_name_and_version_train_it_each_with_its_own_source(sites, launch, now):
    session = launch()
    assert asked(session) == ["anna"]
    begin("anna", now)
    session = settle(session, now=now)
    assert asked(session) == ["anna", "ben"]
    told = {name: work.describe(take(name, now))["workload"] for name in ("anna", "ben")}
    assert {name: one["digest"] for name, one in told.items()} == {"anna": DIGEST, "ben": OTHER}
    assert told["anna"] == {"name": NAME, "version": "1.2", "digest": DIGEST, "options": {"width": 64}}
    session = train(train(session, "anna", "ben", now=now), "anna", "ben", now=now)
    assert session.buffers == ["bn.running_var"] and session.models.count() == 3
    for name in ("anna", "ben"):
        assert take(name, now).round.kind == WorkKind.EVALUATE
        measure(name, now, auc=0.75)
    session = settle(session, now=now)
    last = session.last_model()
    assert (session.status, last.federated_metrics) == (SessionStatus.COMPLETED, {"auc": 0.75})
    assert last.evaluated_at is not None and not last.evaluation_error


def test_a_claim_of_more_examples_than_the_entry_says_is_capped(enrol, launch, now):
    enrol("anna", **telling(entry(num_examples=100)))
    launch(quorum=1)
    begin("anna", now)
    settle(TrainingSession.objects.get(), now=now)
    seat = take("anna", now)
    delta = {name: np.zeros_like(array) for name, array in FIRST.items()}
    send("anna", weights.dump(delta, {"num_examples": "5000", "base_digest": seat.round.base.digest}), now=now)
    assert seat_of("anna").counted_examples == 100


def test_equal_digests_are_required_on_demand(sites, launch, now):
    session = launch(equal_digests=True, quorum=1)
    begin("anna", now)
    session = settle(session, now=now)
    assert asked(session) == ["anna"]
    assert "ben (its source of the workload has another digest)" in why(session, now)
    assert "mallory (it has another version of the workload)" in why(session, now)
    assert "yan (it did not report this workload)" in why(session, now)


def test_a_site_that_only_trains_with_it_is_asked_for_nothing_else(enrol, launch, now):
    enrol("anna", **telling(entry(kinds=["train"])))
    session = launch(quorum=1)
    assert asked(session) == []
    assert "No site that can make the first model of chest-xray 1.2 is online." in why(session, now)
    assert "Not asked: anna (its agent does not do this kind of work)." in why(session, now)
    enrol("ben", **telling(entry(kinds=["initialise"])))
    session = settle(session, now=now)
    begin("ben", now)
    assert asked(settle(session, now=now)) == ["anna"]


def test_it_begins_with_an_uploaded_file(enrol, launch, now):
    enrol("anna", "ben", **telling(entry(kinds=["train"])))
    session = launch(initial_model=upload())
    models.request_initial(session, then=lambda: None)
    assert session.models.get().origin == Origin.UPLOAD
    assert asked(settle(session, now=now)) == ["anna", "ben"]


def upload() -> ModelUpload:
    with storage.scratch() as file:
        file.write_bytes(weights.dump(FIRST))
        digest = storage.digest_of(file)
        storage.put(file, digest)
    return ModelUpload.objects.create(digest=digest, num_bytes=1, buffers=["bn.running_var"])


def test_a_session_whose_sites_all_left_waits_says_so_and_can_be_run_again(sites, launch, alice, now):
    session = launch()
    begin("anna", now)
    session = train(settle(session, now=now), "anna", "ben", now=now)
    for name in ("anna", "ben"):
        clients.leave(Client.objects.get(name=name))
    session = settle(session, now=now)
    while session.active_round():  # their seats were dropped with them; the tries that are left find nobody
        session = settle(session, now=session.active_round().deadline)
    assert "No site that has chest-xray 1.2 is online" in why(session, now)
    for name in ("anna", "ben", "mallory"):
        clients.remove(Client.objects.get(name=name), by="alice", now=now)
    again = sessions.again(session, by=alice, now=now)
    assert (again.workload, again.workload_version, again.declaration) == (NAME, "1.2", session.declaration)
    further = sessions.go_on(session, rounds_=1, by=alice, now=now)
    assert further.models.get().origin == Origin.ADOPTED and further.is_of_sites


def test_a_damaged_version_0_is_lost(sites, launch, now):
    session = launch()
    begin("anna", now)
    first = settle(session, now=now).models.get()
    damage_file(first.digest)
    damage.note([first.digest])
    repair.mend(session.pk)
    first.refresh_from_db()
    assert first.file_status == FileStatus.LOST


def test_a_model_of_another_version_is_no_beginning(sites, launch, now):
    session = launch()
    begin("anna", now)
    settle(session, now=now)
    (problem,) = sessions.problems(replace(SPEC, workload_version="2", start_from=(session.pk, 0)))
    assert problem.sentence == "That model belongs to another version of the workload chest-xray."


def test_sites_measure_a_model_on_demand(sites, launch, alice, now):
    session = launch(quorum=1)
    begin("anna", now)
    session = settle(session, now=now)
    sessions.cancel(session, by=alice, now=now)
    model = session.models.get()
    yan = Client.objects.get(name="yan")
    with pytest.raises(Invalid, match="The agent of yan does not evaluate"):
        sessions.evaluate(model, [yan], by=alice, now=now)
    found = settle(sessions.evaluate(model, by=alice, now=now), now=now)
    assert asked(found) == ["anna", "ben"]
    assert measure(take("anna", now).client.name, now, auc=0.5)


def test_looking_for_who_can_takes_two_queries(sites, launch, now, django_assert_num_queries):
    session = launch(quorum=3)
    begin("anna", now)
    session = settle(session, now=now)
    with django_assert_num_queries(2):
        assert len(rounds.pool(now).of(session).clients) == 2


def test_a_session_of_sites_stays_theirs_when_the_server_gets_the_workload(sites, launch, now, monkeypatch):
    session = launch()
    begin("anna", now)
    session = settle(session, now=now)
    monkeypatch.setitem(WORKLOADS, NAME, WORKLOADS["synthetic"])
    assert work.describe(take("ben", now))["workload"]["digest"] == OTHER
    session = train(session, "anna", "ben", now=now)
    assert session.last_model().evaluated_at is not None, "the server does not measure it"
    assert catalogue.of_sites() == [] and catalogue.find(NAME) is None, "the server's own name wins"
