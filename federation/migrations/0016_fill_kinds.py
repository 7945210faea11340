"""What earlier versions' rows are, in the columns of this one. Their texts stay; they have no codes."""

import unicodedata

from django.db import migrations
from django.db.models import F


def fill(apps, schema_editor):
    fill_name_keys(apps.get_model("federation", "Client"))
    models = apps.get_model("federation", "GlobalModel").objects.filter(version=0)
    models.filter(parent=None).update(origin="seed")
    models.exclude(parent=None).update(origin="adopted")
    rounds = apps.get_model("federation", "Round").objects
    rounds.filter(status="completed").update(outcome="model")
    rounds.filter(status__in=("failed", "cancelled")).update(outcome="nothing")
    tried = {"session__on_round_failure": "skip", "attempt__gt": F("session__max_retries")}
    skipped = rounds.filter(status="failed", **tried).values("pk")
    rounds.filter(pk__in=skipped).update(outcome="skipped")


def fill_name_keys(Client):
    """Names that differ only in case stay, the oldest with the plain key: a slash is in no name."""
    taken = set()
    for client in Client.objects.order_by("pk").only("name", "removed_at"):
        key = unicodedata.normalize("NFC", client.name).casefold()
        if client.removed_at is None:
            key = f"{key}/{client.pk}" if key in taken else key
            taken.add(key)
        Client.objects.filter(pk=client.pk).update(name_key=key)


class Migration(migrations.Migration):

    dependencies = [
        ("federation", "0015_kinds_and_schedules"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
