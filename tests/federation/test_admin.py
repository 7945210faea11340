import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from django.urls import reverse

from federation import models
from federation.services import alerts, apikeys, clients, server
from federation.services import models as models_service
from federation.services.seats import progress
from tests.federation.cast import seat_of, send, settle

pytestmark = pytest.mark.django_db
OURS = [model for model in admin.site._registry if model.__module__.startswith("federation.models")]


@pytest.fixture
def root():
    browser = Browser()
    browser.force_login(User.objects.create_superuser("root"))
    return browser


@pytest.fixture
def world(open_round, alice, now):
    """At least one row of everything."""
    session = open_round("anna", rounds=2).session
    progress.report(
        seat_of("anna"),
        phase=models.Phase.TRAINING,
        fraction=0.5,
        points=[progress.Point("train_loss", 1, 0.5, now)],
        now=now,
    )
    send("anna", now=now)
    settle(session, now=now)
    apikeys.create(alice)
    models_service.tag(session.last_model(), "production", by="alice")
    rule = alerts.save_rule(models.AlertRule(kind="session_done", emails="ops@example.org"), by="alice")
    models.TrainingSession.objects.filter(pk=session.pk).update(ended_at=now, status="completed")
    models.AlertRule.objects.filter(pk=rule.pk).update(created_at=now)
    alerts.evaluate(now=now)
    clients.add_to_log(models.Client.objects.get(), [(now, "hello")])
    models.ModelUpload.objects.create(name="start", created_by=alice)
    models.ServedWorkload.objects.create(client=models.Client.objects.get(), name="synthetic")
    server.tick(now=now)
    return session


def page(model, what, *args):
    return reverse(f"admin:federation_{model._meta.model_name}_{what}", args=args)


def act(browser, model, action, *rows):
    body = {"action": action, "_selected_action": [row.pk for row in rows]}
    return browser.post(page(model, "changelist"), body, follow=True).content.decode()


def test_every_model_is_there():
    ours = {model for model in apps.get_app_config("federation").get_models() if not model._meta.auto_created}
    assert len(ours) > 10
    assert ours - {models.NoiseKey} == set(OURS)  # what noise is made of is shown nowhere


def test_rows_are_searched_and_read_and_nothing_else(world, root):
    for model in OURS:
        row = model.objects.first()
        assert root.get(page(model, "changelist"), {"q": "anna"}).status_code == 200, model
        assert root.get(page(model, "changelist")).status_code == 200, model
        assert root.get(page(model, "change", row.pk)).status_code == 200, model
        assert root.post(page(model, "change", row.pk), {}).status_code == 403, model
        assert root.get(page(model, "add")).status_code == 403, model
        assert root.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403, model
        assert model.objects.filter(pk=row.pk).exists(), model


def test_no_secret_is_shown(world, root):
    secrets = [
        (models.Client, models.Client.objects.get().token_hash),
        (models.Invitation, models.Invitation.objects.get().code_hash),
        (models.ApiKey, models.ApiKey.objects.get().key_hash),
    ]
    for model, secret in secrets:
        row = model.objects.get()
        assert secret not in root.get(page(model, "change", row.pk)).content.decode()
        assert secret not in root.get(page(model, "changelist")).content.decode()


def test_clients_are_disabled_enabled_and_removed_through_the_services(enrol, root):
    anna, ben = enrol("anna", "ben")
    assert "2 disabled" in act(root, models.Client, "disable", anna, ben)
    assert not models.Client.objects.filter(enabled=True).exists()
    act(root, models.Client, "enable", ben)
    act(root, models.Client, "remove", anna)
    assert [client.name for client in models.Client.objects.enrolled().filter(enabled=True)] == ["ben"]
    assert models.ServerEvent.objects.filter(payload__by="root").count() == 4


def test_sessions_are_paused_resumed_and_cancelled(running, root):
    session = running()
    for action, status in [("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")]:
        act(root, models.TrainingSession, action, session)
        session.refresh_from_db()
        assert session.status == status


def test_a_refusal_of_one_row_does_not_stop_the_others(running, draft, root, alice):
    page_ = act(root, models.TrainingSession, "pause", running(), draft(name="second"))
    assert "1 paused" in page_ and "Second is draft and cannot become paused" in page_


def test_invitations_and_keys_are_revoked(invite, alice, root):
    code, (key, secret) = invite(), apikeys.create(alice)
    act(root, models.Invitation, "revoke", models.Invitation.objects.get())
    act(root, models.ApiKey, "revoke", key)
    assert code and models.Invitation.objects.get().revoked_at is not None
    assert apikeys.user_of(secret) is None


def test_whoever_may_only_look_does_not_steer(running, enrol):
    session = running()
    watcher = User.objects.create_user("watcher", is_staff=True)
    watcher.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    browser = Browser()
    browser.force_login(watcher)
    assert browser.get(page(models.TrainingSession, "changelist")).status_code == 200
    act(browser, models.TrainingSession, "cancel", session)
    session.refresh_from_db()
    assert session.status == "running"


def test_a_list_costs_the_same_however_long_it_is(world, root, django_assert_max_num_queries, now):
    seat = seat_of("anna")
    models.Metric.objects.bulk_create(
        models.Metric(session=world, participation=seat, name="loss", step=step, time=now) for step in range(30)
    )
    for model in OURS:
        with django_assert_max_num_queries(12):
            root.get(page(model, "changelist"))
