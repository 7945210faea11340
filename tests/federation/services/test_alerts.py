"""Alerts: what each rule finds, once a cause, and how it is told."""

import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_network
from socketserver import StreamRequestHandler, TCPServer

import pytest
from django.test import override_settings

from federation import mail
from federation.errors import Conflict, Invalid
from federation.lifecycle import RoundStatus
from federation.models import Alert, AlertRule, Client, Delivery, GlobalModel, Phase, Round, TrainingSession
from federation.services import alerts
from federation.services.seats import progress
from flsite.environment import Hosts
from tests.federation.cast import seat_of, server_kinds

pytestmark = pytest.mark.django_db
SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.fixture
def rule(now):
    def rule(kind, **fields):
        made = alerts.save_rule(AlertRule(kind=kind, **fields), by="alice")
        AlertRule.objects.filter(pk=made.pk).update(created_at=now - timedelta(hours=1))
        made.refresh_from_db()
        return made

    return rule


@pytest.fixture
def loopback_is_listed(settings):
    settings.FL_WEBHOOK_HOSTS = Hosts(frozenset(), (ip_network("127.0.0.0/8"),))


@pytest.fixture
def hook(loopback_is_listed):
    """A webhook on this machine: its address, what it got, and the status that it answers with."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        status = 200

        def do_POST(self):
            got.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(Handler.status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got, Handler
    server.shutdown()
    thread.join()
    server.server_close()


def sentences():
    return [alert.sentence for alert in Alert.objects.order_by("pk")]


def test_a_session_that_is_done_is_told_once(open_round, rule, now):
    session = open_round("anna").session
    rule("session_done")
    assert alerts.evaluate(now=now) == 0
    TrainingSession.objects.filter(pk=session.pk).update(status="completed", ended_at=now)
    assert [alerts.evaluate(now=now) for _ in range(3)] == [1, 0, 0]
    assert sentences() == [f"{session.name} is completed."]
    assert server_kinds()[-1] == "alert.raised"


def test_a_failed_round_is_told_with_its_reason(open_round, rule, now):
    rule("round_failed")
    round_ = open_round("anna")
    Round.objects.filter(pk=round_.pk).update(status=RoundStatus.FAILED, reason="Nobody came.", closed_at=now)
    alerts.evaluate(now=now)
    assert sentences() == [f"Round 1 of {round_.session.name} failed: Nobody came."]


def test_a_round_that_waits_is_told_after_its_minutes(open_round, rule, now):
    rule("round_waits", minutes=5)
    open_round("anna")
    assert alerts.evaluate(now=now + timedelta(minutes=4)) == 0
    assert alerts.evaluate(now=now + timedelta(minutes=6)) == 1
    assert "waits for 5 minutes" in sentences()[0]


def test_one_minute_is_one(open_round, rule, now):
    rule("round_waits", minutes=1)
    open_round("anna")
    assert alerts.evaluate(now=now + timedelta(minutes=2)) == 1
    assert "waits for 1 minute." in sentences()[0]


def test_a_silent_client_is_told_once_a_silence(enrol, rule, now):
    rule("client_silent", minutes=5)
    enrol("anna")
    later = now + timedelta(minutes=6)
    assert [alerts.evaluate(now=later), alerts.evaluate(now=later)] == [1, 0]
    Client.objects.update(last_seen=later)
    assert alerts.evaluate(now=later + timedelta(minutes=6)) == 1


def test_a_loss_that_is_not_a_number_is_told(open_round, rule, now):
    rule("loss_diverged")
    open_round("anna")
    points = [progress.Point("train_loss", 1, None, now)]
    progress.report(seat_of("anna"), phase=Phase.TRAINING, fraction=0.1, points=points, now=now)
    assert [alerts.evaluate(now=now), alerts.evaluate(now=now)] == [1, 0]
    assert "The loss of anna is not a number" in sentences()[0]


@pytest.mark.parametrize(("loss", "told"), [(0.9, 0), (1.1, 1)])
def test_a_model_that_is_far_worse_than_the_best_is_told(open_round, rule, now, loss, told):
    rule("loss_diverged", factor=2.0)
    session = open_round("anna").session
    GlobalModel.objects.filter(session=session).update(metrics={"loss": 0.5})
    GlobalModel.objects.create(
        session=session, version=1, digest="a" * 64, num_bytes=1, metrics={"loss": loss}, created_at=now
    )
    assert alerts.evaluate(now=now) == told


def test_a_rule_that_is_off_finds_nothing(open_round, rule, now):
    rule("round_waits", minutes=1, enabled=False)
    open_round("anna")
    assert alerts.evaluate(now=now + timedelta(hours=1)) == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "moon_full"}, "kind"),
        ({"minutes": 0}, "minutes"),
        ({"factor": 1.0}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"webhook_url": "ftp://example.org/"}, "webhook_url"),
        ({"webhook_url": "file:///etc/passwd"}, "webhook_url"),
        ({"webhook_url": "http://user:secret@example.org/"}, "webhook_url"),
        ({"webhook_url": "http://example.org/\r\nHost: x"}, "webhook_url"),
        ({"webhook_url": "http://example.org:many/"}, "webhook_url"),
        ({"webhook_url": "http://127.0.0.1:8000/"}, "webhook_url"),
        ({"webhook_url": "http://[::ffff:10.0.0.1]/"}, "webhook_url"),
        ({"webhook_url": "https://localhost/"}, "webhook_url"),
        ({"emails": "nobody"}, "emails"),
    ],
)
def test_what_a_rule_cannot_be_is_named(fields, field):
    with pytest.raises(Invalid) as refused:
        alerts.save_rule(AlertRule(**{"kind": "session_done"} | fields), by="alice")
    assert [name for name, _ in refused.value.errors] == [field]
    assert not AlertRule.objects.exists()


def queued(open_round, rule, now, **ways):
    session = open_round("anna").session
    rule("session_done", **ways)
    TrainingSession.objects.filter(pk=session.pk).update(status="completed", ended_at=now)
    alerts.evaluate(now=now)
    return alerts.due(now=now)


def test_a_webhook_gets_the_sentence_once(open_round, rule, hook, now):
    url, got, _ = hook
    (delivery,) = queued(open_round, rule, now, webhook_url=url)
    assert [alerts.deliver(delivery, now=now), alerts.deliver(delivery, now=now)] == [True, False]
    assert got == [f'{{"text": "{sentences()[0]}"}}']
    assert alerts.due(now=now + timedelta(days=1)) == []


def test_what_fails_is_tried_again_and_given_up_in_the_end(open_round, rule, hook, now):
    url, got, handler = hook
    handler.status = 302
    (delivery,) = queued(open_round, rule, now, webhook_url=url)
    for _ in range(len(alerts.PAUSES) + 1):
        assert not alerts.deliver(delivery, now=now)
        assert alerts.due(now=now) == []
        now += timedelta(hours=3)
    row = Delivery.objects.get()
    assert (row.status, row.tries, row.error) == ("failed", 6, "127.0.0.1 answered with status 302.")
    assert alerts.due(now=now) == [] and len(got) == 6


def test_an_email_goes_out_by_djangos_backend(open_round, rule, now, settings, mailoutbox):
    settings.FL_EMAIL_IS_SET_UP = True
    (delivery,) = queued(open_round, rule, now, emails="ops@example.org, b@example.org")
    assert alerts.deliver(delivery, now=now)
    assert mailoutbox[0].to == ["ops@example.org", "b@example.org"] and mailoutbox[0].body == sentences()[0]


class Unwilling(StreamRequestHandler):
    """A mail server that takes nothing."""

    def handle(self):
        self.wfile.write(b"554 No mail today\r\n")


@pytest.mark.parametrize("there", [True, False])
def test_an_email_that_the_mail_server_does_not_take_is_sent_later(open_round, rule, now, settings, mailoutbox, there):
    (delivery,) = queued(open_round, rule, now, emails="ops@example.org")
    settings.FL_EMAIL_IS_SET_UP = True
    with TCPServer(("127.0.0.1", 0), Unwilling) as server:
        if there:
            threading.Thread(target=server.handle_request, daemon=True).start()
        else:
            server.server_close()
        host, port = server.server_address
        with override_settings(EMAIL_BACKEND=SMTP, EMAIL_HOST=host, EMAIL_PORT=port):
            assert not alerts.deliver(delivery, now=now)
    row = Delivery.objects.get()
    assert (row.status, row.tries) == ("waiting", 1)
    assert row.error.startswith("The mail server did not take it: ")
    assert ("No mail today" if there else "refused") in row.error
    assert alerts.due(now=now) == [] and mailoutbox == []
    later = now + timedelta(seconds=alerts.PAUSES[0])
    assert alerts.due(now=later) == [delivery] and alerts.deliver(delivery, now=later)
    assert len(mailoutbox) == 1


def test_without_a_mail_server_it_is_said(rule, settings):
    settings.FL_EMAIL_IS_SET_UP = False
    with pytest.raises(Conflict, match="FL_EMAIL_URL"):
        alerts.try_out(rule("session_done", emails="ops@example.org"))


def test_a_test_says_where_it_went_or_what_failed(rule, hook):
    url, got, handler = hook
    made = rule("session_done", webhook_url=url)
    assert alerts.try_out(made) == ["the webhook"] and "test" in got[0]
    handler.status = 500
    with pytest.raises(Conflict, match="status 500"):
        alerts.try_out(made)


def test_a_webhook_that_nobody_answers_is_a_reason(loopback_is_listed):
    with pytest.raises(mail.NotSent, match="did not accept the call"):
        mail.webhook("http://127.0.0.1:9/", "hello")


def test_an_alert_is_acknowledged_once(open_round, rule, now):
    queued(open_round, rule, now)
    ids = list(Alert.objects.values_list("pk", flat=True))
    assert [alerts.acknowledge(ids, by="alice", now=now) for _ in range(2)] == [1, 0]
    assert server_kinds()[-1] == "alert.acknowledged"
