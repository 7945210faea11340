from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone


@pytest.fixture
def before(transactional_db):
    """The database as a migration left it, and a function that brings it up to the newest."""

    def migrate(name):
        executor = MigrationExecutor(connection)
        executor.migrate([("federation", name)])
        return executor.loader.project_state([("federation", name)]).apps

    newest = max(name for app, name in MigrationExecutor(connection).loader.disk_migrations if app == "federation")
    yield lambda name: (migrate(name), lambda: migrate(newest))
    migrate(newest)


def test_names_that_differ_in_case_both_stay(before):
    apps, upgrade = before("0014_defences")
    names = ["Straße", "STRASSE", "ben"]
    if connection.vendor == "sqlite":  # which knows only the case of ASCII
        names += ["Ärzte", "ärzte"]
    for number, name in enumerate(names):
        apps.get_model("federation", "Client").objects.create(name=name, token_hash=f"{number}", ordinal=number)
    gone = {"token_hash": "gone", "ordinal": 9, "removed_at": timezone.now()}
    apps.get_model("federation", "Client").objects.create(name="BEN", **gone)
    clients = upgrade().get_model("federation", "Client").objects.order_by("pk")
    assert [client.name for client in clients] == [*names, "BEN"]
    keys = {client.name: client.name_key for client in clients}
    assert keys["Straße"] == "strasse" and keys["STRASSE"].startswith("strasse/")
    assert keys["ben"] == keys["BEN"] == "ben"
    if "Ärzte" in keys:
        assert keys["Ärzte"] == "ärzte" and keys["ärzte"].startswith("ärzte/")


def test_earlier_rounds_and_models_say_what_they_are(before):
    apps, upgrade = before("0014_defences")
    now = timezone.now()
    session = apps.get_model("federation", "TrainingSession").objects.create(
        name="first", workload="synthetic", rounds=4, train={}, on_round_failure="skip", max_retries=1
    )
    models, rounds = apps.get_model("federation", "GlobalModel").objects, apps.get_model("federation", "Round").objects
    base = models.create(session=session, version=0, digest="0" * 64, num_bytes=1)
    other = apps.get_model("federation", "TrainingSession").objects.create(name="second", rounds=1, train={})
    models.create(session=other, version=0, digest="0" * 64, num_bytes=1, parent=base)
    times = {"opened_at": now, "deadline": now + timedelta(hours=1), "base_model": base, "session": session}
    done = rounds.create(number=1, status="completed", **times)
    models.create(session=session, version=1, digest="1" * 64, num_bytes=1, parent=base, round=done)
    for attempt, status in ((1, "failed"), (2, "failed")):
        rounds.create(number=2, attempt=attempt, status=status, **times)
    rounds.create(number=3, status="cancelled", **times)
    rounds.create(number=4, status="collecting", **times)
    new = upgrade()
    found = new.get_model("federation", "Round").objects.order_by("pk").values_list("outcome", "kind")
    assert list(found) == [(said, "train") for said in ("model", "nothing", "skipped", "nothing", "")]
    origins = new.get_model("federation", "GlobalModel").objects.order_by("pk").values_list("origin", flat=True)
    assert list(origins) == ["seed", "adopted", "round"]
