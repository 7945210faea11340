"""A database in which clients of all times left the oddest values, written past the services that would refuse them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from federation.models import (
    Alert,
    AlertRule,
    Client,
    ClientLog,
    Event,
    GlobalModel,
    Metric,
    Participation,
    ServedWorkload,
    ServerEvent,
    TrainingSession,
)
from federation.services import rounds, server
from tests.dashboard.cast import created, enrolled, finish_round, stream

BEGIN, END = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
HUGE = 10**400
BIG = 2**62
ODD: list[Any] = [None, True, -1, 0, 0.5, 1.7e308, BIG, HUGE, "", "9" * 50, "\u202e<b>x", [], [1, None], {}, {"a": {}}]
NAMES = ["", "__proto__", "constructor", "\u202eabc", "a\x01b", "train_loss", "<b>", "x" * 64]
INFO = (
    "version", "device", "platform", "python", "cores", "memory", "gpu", "num_examples", "label_histogram",
    "data_fingerprint", "workloads",
)  # fmt: skip


def infos() -> list[Any]:
    """Every member with every odd value, a few that are no object at all, and histograms of their own."""
    each = [dict.fromkeys(INFO, odd) for odd in ODD]
    counts = [{"a": BIG, "b": HUGE, "c": -5, "d": True, "e": 0}, {"": 1, "\u202e": 2, "x" * 500: 3}, {"a": 0}, ["a"]]
    return [*each, *({"label_histogram": one, "num_examples": 5} for one in counts), [], "text", 7]


def haunt(session: TrainingSession, clients: list[Client]) -> None:
    """Spoil all that these clients told, in a session in which each of them has a seat in the open round."""
    session.refresh_from_db()
    _clients(clients)
    _workloads(clients)
    _seats(session, clients)
    _points(session, clients)
    _models(session)
    _logs(session, clients)


def _clients(clients: list[Client]) -> None:
    told = infos()
    for n, client in enumerate(clients):
        client.info = told[n % len(told)]
        client.num_examples = [-5, 0, None, BIG][n % 4]
        client.changes = [ODD[n % len(ODD)] or [], [5], [{"what": 5}], [{"before": HUGE, "after": -1}]][n % 4]
        client.enrolled_at, client.changed_at = [BEGIN, END][n % 2], [END, BEGIN][n % 2]
        client.last_seen = [None, BEGIN, END, timezone.now()][n % 4]
        client.instance_host = "\u202e<b>"
        client.ordinal = 2**31 - 1 - n
        client.save()
        ClientLog.objects.create(client=client, lines=LINES)


def _workloads(clients: list[Client]) -> None:
    """What they told of one workload that only they have: some of it is good, most of it is not."""
    good = {"name": "told", "digest": "1" * 64, "title": "\u202e<b>"}
    whole = [dict.fromkeys(("name", "digest", "options", "measures", "train_defaults", "kinds"), odd) for odd in ODD]
    parts = [good | {member: odd} for member in ("options", "measures", "train_defaults", "kinds") for odd in ODD]
    for n, declaration in enumerate([good, *whole, *parts, *ODD[1:]]):
        client = clients[n % len(clients)]
        name = "told" if n < len(clients) else f"told-{n}"
        odd = {"digest": ["", "\u202e<b>", "1" * 64][n % 3], "num_examples": [None, -5, BIG][n % 3]}
        ServedWorkload.objects.create(client=client, name=name, declaration=declaration, version="\u202e<b>", **odd)


LINES = [[], ["soon", 5], [None], 7, {"a": 1}, ["0001-01-01T00:00:00+14:00", "\u202e"], ["a", "b", "c"]]
FRACTIONS = [-1.0, 0.0, 5e-324, 0.5, 1.0, 2.0, 1.7e308, float("inf")]
MOMENTS = [None, BEGIN, END]


def _seats(session: TrainingSession, clients: list[Client]) -> None:
    now = timezone.now()
    for n, seat in enumerate(Participation.objects.filter(round__session=session, client__in=clients)):
        seat.fraction = FRACTIONS[n % len(FRACTIONS)]
        seat.phase = ["training", "uploading", "", "evaluating", "downloading"][n % 5]
        seat.progress_at, seat.phase_at = [now, *MOMENTS][n % 4], [BEGIN, now, END, None][n % 4]
        seat.taken_at, seat.training_at, seat.trained_at = MOMENTS[n % 3], MOMENTS[(n + 1) % 3], MOMENTS[(n + 2) % 3]
        seat.reported_at = [None, BEGIN, END, now][n % 4]
        seat.upload_offset, seat.upload_length = [(BIG, 1), (0, 0), (5, BIG), (0, None)][n % 4]
        seat.num_bytes, seat.num_examples = [0, 2**40][n % 2], [0, -7, None, BIG, 10**18][n % 5]
        seat.norm = [None, float("inf"), 1.7e308, -1.0, 0.0][n % 5]
        seat.cosine = [0.0, None, float("-inf"), 1.7e308][n % 4]
        seat.metrics = [dict.fromkeys(NAMES, odd) for odd in ODD][n % len(ODD)] if n % 3 else ODD[n % len(ODD)] or {}
        seat.reason = "\u202e<script>alert(1)</script>" if n % 2 else ""
        seat.save()


VALUES = [None, 0.0, -0.0, 1.7e308, -1.7e308, 5e-324, float("inf"), float("-inf")]
STEPS = [0, 1, 2**53 + 1, BIG, 2**63 - 1]


def _points(session: TrainingSession, clients: list[Client]) -> None:
    seats = Participation.objects.filter(round__session=session, client__in=clients)
    Metric.objects.bulk_create(
        Metric(session=session, participation=seat, name=name, step=step, value=VALUES[n % 8], time=[BEGIN, END][n % 2])
        for seat in seats
        for name in NAMES
        for n, step in enumerate(STEPS, start=seat.pk)
    )


def _models(session: TrainingSession) -> None:
    """What is measured of a model comes from clients, too. An infinite number is one that the column takes."""
    for n, model in enumerate(GlobalModel.objects.filter(session=session).order_by("version")):
        odd = ODD[(n + 4) % len(ODD)]
        model.federated_metrics = {name: odd for name in ("accuracy", "loss", *NAMES)} | {"val": HUGE}
        model.metrics = [{"loss": HUGE, "accuracy": "high"}, {}, [], {"loss": 1.7e308, "accuracy": -1.7e308}][n % 4]
        model.save()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(
                'UPDATE federation_globalmodel SET metrics = \'{"loss": 1e999, "accuracy": -1e999}\' '
                "WHERE session_id = %s AND version = 1",
                [session.pk],
            )


SAID = (
    "round", "attempt", "metrics", "reason", "phase", "seconds", "aggregation_seconds", "num_examples", "num_bytes",
    "updates", "late", "clients", "changes", "tags", "uses", "count", "more", "rounds", "by", "deadline", "version",
    "error", "name", "model", "instead_of", "hint", "sentence", "rule", "quorum", "last_tick", "tag",
    "client", "points",
)  # fmt: skip


def _payload(client: Client, odd: Any, whole: bool) -> dict[str, Any]:
    """An odd value for every member that a sentence may name; whole: of a client, with points that are partly good."""
    told = dict.fromkeys(SAID, odd)
    if whole:
        told |= {"client": {"id": str(client.pk), "name": "\u202ex"}}
        told |= {"points": [{"name": "train_loss", "value": odd}, {}, 5, odd]}
    return told


def _logs(session: TrainingSession, clients: list[Client]) -> None:
    payloads = [_payload(clients[0], odd, whole) for odd in ODD for whole in (True, False)]
    kinds = [*Event.Kind.values, "unheard.of"]
    at = session.last_seq
    rows = [(kind, payload) for kind in kinds for payload in [*payloads, [], "text", 5]]
    Event.objects.bulk_create(
        Event(session=session, seq=at + n, kind=kind, payload=payload, time=timezone.now() - timedelta(seconds=n))
        for n, (kind, payload) in enumerate(rows, start=1)
    )
    TrainingSession.objects.filter(pk=session.pk).update(last_seq=at + len(rows))
    own = [(kind, payload) for kind in ServerEvent.Kind.values for payload in [*payloads, [], "text", 5]]
    ServerEvent.objects.bulk_create(
        ServerEvent(seq=10_000 + n, kind=kind, payload=payload) for n, (kind, payload) in enumerate(own)
    )
    rule = AlertRule.objects.create(kind=AlertRule.Kind.LOSS_DIVERGED, factor=1.7e308, minutes=2**31 - 1)
    Alert.objects.create(rule=rule, cause="x", sentence="\u202e<b>", session=session, client=clients[0])


ODD_ONES = [f"odd {n}" for n in range(len(infos()))]


def make_haunted(mara: User) -> TrainingSession:
    """Anna is well, the others have every odd value that there is; round 1 made a model, round 2 is open."""
    _, *odd = enrolled("anna", *ODD_ONES, label_histogram={"0": 60, "1": 40}, num_examples=100, cores=4)
    session = created(mara, start=True)
    assert rounds.advance(session, now=timezone.now())
    stream(session, "anna", [2.0, 1.0])
    finish_round(session, "anna", *ODD_ONES, train_loss=1.0, val_accuracy=0.5)
    stream(session, "anna", [0.75, 0.5])
    haunt(session, odd)
    server.tick(now=timezone.now())
    return session
