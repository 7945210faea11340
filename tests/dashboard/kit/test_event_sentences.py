import re
from typing import Any

import pytest
from django.utils import timezone

from dashboard.kit import event_sentences
from federation.models import Event, ServerEvent

CLIENT = {"client": {"id": "1", "name": "ben"}, "round": 3, "attempt": 1}
EVENTS: list[tuple[str, dict[str, Any], str]] = [
    ("session.created", {"name": "first", "by": "mara"}, "mara created first."),
    ("session.started", {"by": "mara"}, "mara started the session."),
    ("session.paused", {"by": "mara"}, "mara paused the session; no new round opens."),
    ("session.resumed", {"by": ""}, "A script resumed the session."),
    ("session.extended", {"by": "mara", "more": 5, "rounds": 15}, "mara added 5 more rounds: 15 in all."),
    ("session.completed", {"rounds": 12}, "The session is completed after 12 rounds."),
    (
        "session.completed",
        {"rounds": 4, "early_stop": {"why": "patience", "measure": "accuracy", "value": 0.7, "best": 0.71}},
        "The session is completed after 4 rounds. It stopped early: the accuracy got no better than 0.710.",
    ),
    (
        "session.completed",
        {"rounds": 1, "early_stop": {"why": "target", "measure": "loss", "value": 0.1, "best": 0.1}},
        "The session is completed after 1 round. It stopped early: the loss reached 0.100.",
    ),
    ("session.failed", {"reason": "Round 2 failed 3 times."}, "The session failed: Round 2 failed 3 times."),
    ("session.cancelled", {"by": "mara"}, "mara cancelled the session."),
    (
        "round.opened",
        {"round": 8, "attempt": 2, "quorum": 3, "clients": [{}] * 6, "deadline": "2026-01-12T10:54:30+00:00"},
        "Round 8, try 2 opened for 6 clients; 3 must report by 10:54:30.",
    ),
    (
        "round.aggregated",
        CLIENT | {"updates": 5, "aggregation_seconds": 0.0424},
        "Round 3 aggregated 5 updates in 42 ms.",
    ),
    (
        "round.completed",
        CLIENT | {"updates": 1, "seconds": 61.2},
        "Round 3 is completed with 1 update after 1 min 1 s.",
    ),
    (
        "round.failed",
        CLIENT | {"reason": "1 of 2 needed updates had arrived.", "retried": True},
        "Round 3 failed: 1 of 2 needed updates had arrived. It opens again.",
    ),
    ("round.cancelled", CLIENT, "Round 3 was cancelled with its session."),
    (
        "round.extended",
        CLIENT | {"seconds": 300, "deadline": "2026-01-12T10:59:30+00:00", "by": "mara"},
        "mara extended round 3 by 5 min, to 10:59:30.",
    ),
    (
        "evaluation.opened",
        {"version": 5, "clients": [{}, {}], "deadline": "2026-01-12T10:59:30+00:00", "work": "evaluate"},
        "Model v5 is measured by 2 clients until 10:59:30.",
    ),
    (
        "evaluation.completed",
        {"version": 5, "results": 1, "metrics": {"accuracy": 0.858, "seen": [1, 2]}},
        "Model v5 was measured by 1 client: accuracy 0.858.",
    ),
    (
        "evaluation.failed",
        {"version": 5, "reason": "0 of 1 needed results had arrived."},
        "Model v5 could not be measured by the clients: 0 of 1 needed results had arrived.",
    ),
    ("seat.training", CLIENT | {"work": "evaluate"}, "ben took the work of the evaluation."),
    ("seat.dropped", CLIENT | {"work": "evaluate"}, "ben was dropped from the evaluation."),
    (
        "result.received",
        CLIENT | {"work": "evaluate", "num_examples": 3, "metrics": {"accuracy": 0.858}},
        "ben reported: 3 examples, accuracy 0.858.",
    ),
    (
        "round.finished",
        CLIENT | {"work": "evaluate", "by": "mara"},
        "mara finished the evaluation with the results that were in.",
    ),
    ("seat.invited", CLIENT | {"turn": 1}, "ben joined round 3."),
    ("seat.invited", CLIENT | {"turn": 2}, "ben joined round 3: its turn 2."),
    ("seat.training", CLIENT, "ben took the work of round 3."),
    ("seat.dropped", CLIENT | {"reason": "The client left."}, "ben was dropped from round 3: The client left."),
    ("seat.failed", CLIENT | {"reason": "out of memory"}, "ben gave up round 3: out of memory."),
    ("seat.skipped", CLIENT | {"by": "mara"}, "mara skipped ben in round 3."),
    (
        "update.received",
        CLIENT | {"num_examples": 12110, "metrics": {"train_loss": 0.4181, "val_accuracy": 0.9}},
        "ben reported: 12\u202f110 examples, loss 0.418, own accuracy 0.900.",
    ),
    ("update.received", CLIENT | {"work": "initialise", "num_examples": 0}, "ben sent the first model."),
    ("update.rejected", CLIENT | {"reason": "w holds NaN."}, "ben sent an update that was rejected: w holds NaN."),
    ("update.late", CLIENT, "ben sent its update of round 3 too late. It is kept and does not count."),
    (
        "model.published",
        {"version": 0, "round": None, "num_bytes": 28_400_000},
        "Model v0 is the session's first, 28.4 MB.",
    ),
    ("model.published", {"version": 3, "round": 3, "num_bytes": 999}, "Model v3 published by round 3, 999 B."),
    (
        "model.evaluated",
        {"version": 3, "metrics": {"accuracy": 0.858, "loss": 0.4456}},
        "Model v3 evaluated on the test set: accuracy 0.858, loss 0.446.",
    ),
    ("model.evaluated", {"version": 3, "metrics": {}}, "Model v3 has no test set to be evaluated on."),
    ("model.evaluated", {"version": 3, "error": "No memory."}, "Model v3 could not be evaluated: No memory."),
    (
        "metrics.reported",
        CLIENT | {"phase": "training", "points": [{"name": "train_loss"}] * 20},
        "ben sent 20 points of train_loss.",
    ),
    ("metrics.reported", CLIENT | {"phase": "uploading", "points": []}, "ben is uploading in round 3."),
    (
        "metrics.left_out",
        CLIENT | {"seat_points": 100_000, "seat_measures": 1000, "session_points": 1_000_000},
        "ben exceeded a quota in round 3: 100\u202f000 points and 1\u202f000 measures a round, "
        "1\u202f000\u202f000 points a session. The rest is left out; its work continues.",
    ),
    ("client.enrolled", CLIENT, "ben joined."),
    (
        "client.enrolled",
        CLIENT | {"looks_like": ["Ben", "bеn"]},
        "ben joined. Its name looks like that of Ben and bеn. Check which client is which.",
    ),
    ("client.online", CLIENT, "ben is online."),
    ("client.offline", CLIENT, "ben went silent."),
    ("client.left", CLIENT, "ben left."),
    ("client.left", CLIENT | {"removed": True, "by": "mara"}, "mara removed ben."),
    ("client.enabled", CLIENT | {"by": "mara"}, "mara enabled ben."),
    ("client.disabled", CLIENT | {"by": "mara"}, "mara disabled ben."),
    (
        "worker.silent",
        {"last_tick": "2026-01-12T10:54:30+00:00"},
        "The worker is silent since 10:54:30: rounds neither open nor close.",
    ),
    ("worker.recovered", {}, "The worker is at work again."),
    ("storage.low", {}, "The server's disk is full. Make room; the sessions go on by themselves."),
    (
        "round.postponed",
        {"round": 3, "deadline": "2026-01-12T10:54:30+00:00"},
        "Round 3 has no update yet. It waits for one until 10:54:30.",
    ),
    (
        "update.late",
        CLIENT | {"accepted": True, "counts": True, "counted_in": 5},
        "ben reported for round 3. It counts in round 5.",
    ),
    (
        "update.late",
        CLIENT | {"accepted": True, "counts": True, "counted_in": None},
        "ben reported for round 3. It counts in the next round.",
    ),
    (
        "round.reopened",
        {"round": 3, "clients": [{"name": "ben"}], "deadline": "2026-01-12T10:54:30+00:00"},
        "Round 3 collects again: ben must send again by 10:54:30.",
    ),
    (
        "storage.damaged",
        CLIENT | {"what": "update", "then": "asked_again"},
        "The update of ben was damaged on the server's disk. It is asked again.",
    ),
    (
        "storage.damaged",
        CLIENT | {"what": "update", "missing": True, "then": "lost"},
        "The update of ben is missing on the server's disk. It cannot be asked again.",
    ),
    (
        "storage.damaged",
        {"what": "model", "version": 2, "missing": True},
        "The file of model v2 is missing on the server's disk. It is being made again.",
    ),
    ("storage.repaired", {"version": 2}, "Model v2 was made again, with the same digest."),
    ("clock.jumped", {"seconds": -3600.2}, "The server's clock was set back by 1 h 0 min. Deadlines moved with it."),
    ("storage.recovered", {}, "The server's disk has room again."),
    ("round.finished", {"by": "mara", "round": 2}, "mara finished round 2 with the updates that were in."),
    (
        "client.tagged",
        {"by": "mara", "client": {"name": "anna"}, "tags": ["gpu", "ward"]},
        "mara put anna into gpu, ward.",
    ),
    (
        "client.enrolled",
        {"client": {"name": "anna"}, "again": True},
        "anna joined again with a new token. The old one is no longer valid.",
    ),
    (
        "client.reissued",
        {"by": "mara", "hint": "FJ7K", "client": {"name": "anna"}},
        "mara made the code FJ7K that lets anna in again with a new token.",
    ),
    (
        "client.changed",
        {
            "client": {"name": "anna"},
            "changes": [
                {"what": "num_examples", "before": 1437, "after": 80},
                {"what": "workload", "name": "digits"},
                {"what": "workload", "name": "synthetic"},
            ],
        },
        "anna has other data: 80 examples instead of 1\u202f437 and has another source of the workloads "
        "digits and synthetic.",
    ),
    (
        "client.changed",
        {"client": {"name": "anna"}, "changes": [{"what": "data"}]},
        "anna has other data, though as many examples.",
    ),
    ("invitation.created", {"by": "mara", "hint": "FJ7K", "uses": 3}, "mara made the invitation FJ7K for 3 clients."),
    ("invitation.revoked", {"by": "mara", "hint": "FJ7K"}, "mara revoked the invitation FJ7K."),
    (
        "model.tagged",
        {
            "by": "mara",
            "model": {"version": 3, "of": "b"},
            "tag": "production",
            "instead_of": {"version": 1, "of": "a"},
        },
        "mara tagged v3 of b as production, in place of v1 of a.",
    ),
    (
        "model.untagged",
        {"by": "mara", "model": {"version": 3, "of": "b"}, "tag": "candidate"},
        "mara took the tag candidate off v3 of b.",
    ),
    ("model.noted", {"by": "mara", "model": {"version": 3, "of": "b"}}, "mara wrote a note on v3 of b."),
    ("alert.raised", {"sentence": "anna is silent."}, "anna is silent."),
    ("alert.acknowledged", {"by": "mara", "count": 2}, "mara acknowledged 2 alerts."),
    ("rule.created", {"by": "mara", "rule": "round_waits"}, "mara made the alert rule round waits."),
    ("rule.changed", {"by": "mara", "rule": "round_waits"}, "mara changed the alert rule round waits."),
    ("rule.deleted", {"by": "mara", "rule": "round_waits"}, "mara deleted the alert rule round waits."),
    ("session.deleted", {"by": "mara", "name": "first"}, "mara deleted the session first."),
]


def say(kind: str, payload: dict[str, Any]) -> str:
    return str(event_sentences.line(Event(seq=1, time=timezone.now(), payload=payload), kind).sentence)


@pytest.mark.parametrize(("kind", "payload", "sentence"), EVENTS, ids=[kind for kind, _, _ in EVENTS])
def test_every_event_is_told_in_a_sentence(kind: str, payload: dict[str, Any], sentence: str) -> None:
    assert re.sub(r"<[^>]+>", "", say(kind, payload)).replace("&#x27;", "'") == sentence


def test_no_kind_is_forgotten() -> None:
    kinds = {*Event.Kind.values, *ServerEvent.Kind.values}
    assert kinds == {kind for kind, _, _ in EVENTS}
    assert kinds == set(event_sentences.SAYINGS)


@pytest.mark.parametrize("kind", sorted({*Event.Kind.values, *ServerEvent.Kind.values}))
def test_a_payload_that_lacks_everything_is_still_told(kind: str) -> None:
    assert say(kind, {})
    nothing = dict.fromkeys(("client", "round", "attempt", "by", "reason", "metrics", "clients", "points", "deadline"))
    assert say(kind, nothing)


def test_a_kind_that_is_not_known_is_told_by_its_name() -> None:
    assert say("session.teleported", {}) == "session.teleported"


def test_names_and_reasons_never_become_markup() -> None:
    said = say("seat.failed", {"client": {"name": "<b>"}, "round": 1, "reason": "<script>x</script>"})
    assert "&lt;b&gt;" in said
    assert "<script>" not in said
