"""The pages that look across sessions: Compare, Models, Activity, Alerts, and one client's page."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from django.http import QueryDict
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.kit import charts, session_settings
from dashboard.kit.parameters import Parameters
from dashboard.pages.activity import acts
from dashboard.pages.compare import comparison
from dashboard.pages.models import finding, lineage
from federation import tags
from federation.errors import Conflict
from federation.models import Alert, AlertRule, Client, GlobalModel, ModelTag, TrainingSession
from federation.services import clients, models, rounds, sessions
from federation.services.clients import agent_log
from tests.dashboard.cast import HTMX, finish_round, report
from tests.dashboard.haunted import ODD

Create = Callable[..., TrainingSession]


@pytest.fixture
def trained(running: TrainingSession) -> TrainingSession:
    """Two rounds are done."""
    for accuracy in (0.5, 0.75):
        finish_round(running, "anna", "ben", "carl", base_val_accuracy=accuracy, base_val_loss=1 - accuracy)
    return running


def model(session: TrainingSession, version: int) -> GlobalModel:
    return session.models.get(version=version)


@pytest.mark.parametrize(
    ("rows", "asked"),
    [
        ("model_rows", "q=first&workload=&tag=&sort=loss&page=2"),
        ("activity_rows", "area=sessions&by=mara&page=2"),
        ("client_rows", "q=n&state=&sort=late&page=2"),
        ("session_rows", "status=running&page=2"),
    ],
)
def test_a_list_is_refreshed_as_it_was_asked_for(
    trained: TrainingSession, create: Create, browser: Browser, rows: str, asked: str
) -> None:
    create(start=True, name="first again")
    with (
        patch("dashboard.pages.models.views.PER_PAGE", 1),
        patch("dashboard.pages.clients.views.PER_PAGE", 1),
        patch("dashboard.pages.session.views.PER_PAGE", 1),
        patch("dashboard.pages.activity.acts.PER_PAGE", 1),
    ):
        part = browser.get(f"{reverse(rows)}?{asked}").content.decode()
    refreshes = re.search(r'hx-get="([^"]+)"', part)
    assert refreshes is not None and html.unescape(refreshes[1]) == f"{reverse(rows)}?{asked}"


# ---- compare


def test_an_address_names_sessions_each_once_and_says_what_is_gone(trained: TrainingSession) -> None:
    asked = Parameters(QueryDict(f"s={trained.pk}&s={trained.pk}&s=999&s=x&s={'9' * 30}"))
    found, gone = comparison.chosen(asked.wholes("s"))
    assert (found, gone) == ([trained], 1)


def test_curves_have_an_x_on_every_axis(trained: TrainingSession) -> None:
    (series,) = comparison.overlay(comparison.lines([trained]))["series"]
    assert series["x"]["round"] == [0, 1, 2]
    assert series["x"]["bytes"][0] == 0 and series["x"]["bytes"] == sorted(series["x"]["bytes"])
    assert series["y"]["accuracy, by the clients"] == [0.5, 0.75, None]


def test_settings_that_differ_are_marked(trained: TrainingSession, create: Create, browser: Browser) -> None:
    other = create(name="other", seed=9)
    differing = {row.name for row in session_settings.side_by_side([trained, other]) if row.differs}
    assert differing == {"Seed"}
    page = browser.get(reverse("compare"), {"s": [trained.pk, other.pk, 999]}).content.decode()
    assert "1 session of this address is not there any more" in page and page.count('class="differs"') == 1


def test_without_a_choice_it_says_how_to_choose(browser: Browser) -> None:
    assert "Nothing is chosen yet" in browser.get(reverse("compare")).content.decode()


def test_a_hostile_name_stays_text(trained: TrainingSession, browser: Browser) -> None:
    TrainingSession.objects.update(name="</script><img src=x onerror=alert(1)>")
    page = browser.get(reverse("compare"), {"s": trained.pk}).content.decode()
    assert "<img" not in page


# ---- models


def test_models_are_filtered_and_sorted(trained: TrainingSession, browser: Browser) -> None:
    assert [one.version for one in finding.found(sort="accuracy")] == [1, 0, 2]
    assert [one.version for one in finding.found(sort="loss")] == [1, 0, 2]
    assert not finding.found(query="nothing") and not finding.found(workload="digits")
    assert finding.best("synthetic")["accuracy"].version == 1
    page = browser.get(reverse("model_rows"), {"workload": "synthetic"}).content.decode()
    assert "Best of synthetic" in page
    assert "Best of synthetic" in browser.get(reverse("models")).content.decode(), "the only workload, unasked"
    assert "No model fits" in browser.get(reverse("models"), {"q": "nothing"}).content.decode()


@pytest.mark.parametrize("odd", [*ODD, 2**63, -(2**63), 1e30, 1.1e30, -1.1e30, 5e-324])
def test_what_is_no_number_is_none_to_the_database_too(trained: TrainingSession, odd: Any) -> None:
    for metrics in ({"loss": odd, "accuracy": odd}, odd if isinstance(odd, list) else [odd], {}):
        trained.models.filter(version=2).update(metrics=metrics, federated_metrics={"accuracy": odd})
        for one in finding.found(sort="accuracy"):
            expected = [charts.value(one, name) for name in ("accuracy", "loss")]
            assert [one.accuracy, one.measured_loss] == pytest.approx(expected), (one.version, metrics)


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("all", "Every file is kept."),
        ("best_and_last", "the files of the last 5 rounds and the best and the last are kept, and tagged ones."),
        ("every_10", "the files of the last 5 rounds and every 10th are kept, and tagged ones."),
    ],
)
def test_it_is_told_which_files_stay(browser: Browser, settings: Any, policy: str, told: str) -> None:
    settings.FL_KEEP_MODELS = policy
    assert told in browser.get(reverse("models")).content.decode()


def test_production_moves_and_is_on_one_model_a_workload(trained: TrainingSession) -> None:
    models.tag(model(trained, 1), "production", by="mara")
    models.tag(model(trained, 2), "Production", by="mara")
    assert ModelTag.objects.get().model == model(trained, 2)
    assert model(trained, 2).is_kept and not model(trained, 1).is_kept
    assert list(GlobalModel.objects.kept()) == [model(trained, 2)]


@pytest.mark.parametrize("tag", ["", "two words", "a" * 33, "<b>"])
def test_a_tag_that_cannot_be_is_refused(trained: TrainingSession, browser: Browser, tag: str) -> None:
    address = reverse("model_tag", args=[model(trained, 1).pk])
    answer = browser.post(address, {"tag": tag}, headers=HTMX)
    assert answer.status_code == 422 and "toast" in json.loads(answer["HX-Trigger"])
    assert not ModelTag.objects.exists()


def test_a_model_carries_so_many_tags_and_no_more(trained: TrainingSession, browser: Browser) -> None:
    models.tag(model(trained, 2), "production", by="mara")
    full = model(trained, 1)
    for number in range(tags.MOST):
        models.tag(full, f"tag-{number}", by="mara")
    answer = browser.post(reverse("model_tag", args=[full.pk]), {"tag": "production"}, headers=HTMX)
    assert answer.status_code == 422
    assert f"carries {tags.MOST} tags; that is as many as there may be." in answer["HX-Trigger"]
    assert full.tags.count() == tags.MOST
    assert ModelTag.objects.get(name="production").model == model(trained, 2)


def test_a_tag_is_put_on_once_and_taken_off_once(trained: TrainingSession, browser: Browser) -> None:
    one = model(trained, 1)
    for name, status in (("model_tag", 204), ("model_tag", 409), ("model_untag", 204), ("model_untag", 409)):
        assert browser.post(reverse(name, args=[one.pk]), {"tag": "candidate"}, headers=HTMX).status_code == status


def test_taking_a_tag_off_says_first_what_is_lost(trained: TrainingSession, browser: Browser) -> None:
    one = model(trained, 1)
    models.tag(one, "candidate", by="mara")
    address = reverse("model_untag", args=[one.pk])
    assert "not kept for good any more" in browser.get(address, {"tag": "candidate"}, headers=HTMX).content.decode()
    models.tag(one, "production", by="mara")
    question = browser.get(address, {"tag": "candidate"}, headers=HTMX).content.decode()
    assert "Kept: its other tags (production), and with them its file." in question
    assert one.tags.count() == 2


def test_a_note_is_kept_and_has_an_end(trained: TrainingSession, browser: Browser) -> None:
    address = reverse("model_note", args=[model(trained, 1).pk])
    assert browser.post(address, {"note": "x" * 4001}, headers=HTMX).status_code == 422
    browser.post(address, {"note": "<script>for the ward"}, headers=HTMX)
    page = browser.get(reverse("model", args=[model(trained, 1).pk])).content.decode()
    assert "&lt;script&gt;for the ward" in page and "anna" in page


def test_a_session_with_a_tagged_model_is_not_deleted(trained: TrainingSession, browser: Browser) -> None:
    models.tag(model(trained, 1), "candidate", by="mara")
    sessions.cancel(trained, by=None, now=timezone.now())
    with pytest.raises(Conflict, match="carries the tag candidate"):
        sessions.delete(trained)
    assert browser.get(reverse("session_delete", args=[trained.pk]), headers=HTMX).status_code == 409
    models.untag(model(trained, 1), "candidate", by="mara")
    sessions.delete(trained)


def test_lineage_reaches_across_sessions(trained: TrainingSession, create: Create) -> None:
    further = create(name="further", start_from=(trained.pk, 2))
    drawn = lineage.of(model(further, 0))
    assert [(box.model.session.name, box.model.version) for box in drawn.boxes] == [
        ("first", 0), ("first", 1), ("first", 2), ("further", 0),
    ]  # fmt: skip
    assert [edge.is_across for edge in drawn.edges] == [False, False, True]
    assert lineage.of(model(trained, 2)).boxes[-1].model.session == further


def test_two_models_are_compared(trained: TrainingSession, browser: Browser) -> None:
    pair = [model(trained, 0).pk, model(trained, 1).pk]
    page = browser.get(reverse("model_compare"), {"m": pair}).content.decode()
    assert "+0.250 better" in page and "−0.250 better" in page
    assert "Two models are needed" in browser.get(reverse("model_compare"), {"m": pair[:1]}).content.decode()


# ---- clients


def test_a_clients_page_shows_its_rounds_and_curves(trained: TrainingSession, browser: Browser) -> None:
    anna = Client.objects.get(name="anna")
    page = browser.get(reverse("client", args=[anna.pk])).content.decode()
    for text in ("Rounds invited", "Aggregated", "--send-log", "base val loss"):
        assert text in page
    parts = browser.get(reverse("client_parts", args=[anna.pk])).content.decode()
    assert re.findall(r'id="(client-[a-z]+)" hx-get="[^"]+" hx-disinherit="hx-select" hx-select="#\1"', parts) == [
        "client-page",
        "client-turns",
    ]


def test_what_an_agent_logs_stays_text(trained: TrainingSession, browser: Browser) -> None:
    anna = Client.objects.get(name="anna")
    now = timezone.now()
    clients.add_to_log(anna, [(now, "<script>alert(1)</script>\x1b[31m"), (now, "x" * 2000)])
    shown = browser.get(reverse("client_log", args=[anna.pk])).content.decode()
    assert "&lt;script&gt;" in shown and "\x1b" not in shown and "x" * 501 not in shown
    clients.add_to_log(anna, [(now, "again")] * 400)
    anna.log.refresh_from_db()
    assert len(anna.log.lines) == agent_log.LOG_LINES


def test_a_client_is_put_into_groups_and_found_by_them(trained: TrainingSession, browser: Browser) -> None:
    anna = Client.objects.get(name="anna")
    address = reverse("client_retag", args=[anna.pk])
    assert browser.post(address, {"tags": "no/slash"}, headers=HTMX).status_code == 422
    assert browser.post(address, {"tags": "GPU, ward gpu"}, headers=HTMX).status_code == 204
    anna.refresh_from_db()
    assert anna.tags == ["gpu", "ward"]
    rows = browser.get(reverse("client_rows"), {"q": "ward"}).content.decode()
    assert re.findall(r'data-client="(\w+)"', rows) == ["anna"]


def test_only_clients_with_a_tag_are_asked(running: TrainingSession, create: Create) -> None:
    clients.set_tags(Client.objects.get(name="anna"), ["gpu"], by="mara")
    tagged = create(start=True, name="tagged", client_tags=("gpu",), quorum=1)
    for name in ("anna", "ben", "carl"):
        report(running, name)
    assert rounds.advance(tagged, now=timezone.now())
    (seat,) = tagged.active_round().seats.all()  # type: ignore[union-attr]
    assert seat.client.name == "anna"


def test_a_session_whose_clients_are_busy_does_not_hold_up_others(running: TrainingSession, create: Create) -> None:
    for name in ("anna", "ben", "carl"):
        clients.set_tags(Client.objects.get(name=name), ["busy" if name == "anna" else "free"], by="mara")
    blocked = create(start=True, name="blocked", client_tags=("busy",), quorum=1)
    free = create(start=True, name="free", client_tags=("free",), quorum=1)
    report(running, "ben")
    report(running, "carl")
    assert rounds.open_next(now=timezone.now())
    assert free.active_round() is not None and blocked.active_round() is None


# ---- activity


def test_activity_says_who_did_what_and_can_be_narrowed(trained: TrainingSession, browser: Browser) -> None:
    models.tag(model(trained, 1), "candidate", by="jonas")
    sessions.cancel(trained, by=None, now=timezone.now())
    sessions.delete(create_copy(trained), by=None)
    everything = [line.kind for line in acts.page().lines]
    assert everything[0] == "session.deleted" and {"session.started", "invitation.created"} <= set(everything)
    assert [line.kind for line in acts.page(by="jonas").lines] == ["model.tagged"]
    assert [line.kind for line in acts.page(area="models").lines] == ["model.tagged"]
    assert acts.page(number=9).lines == []
    page = browser.get(reverse("activity_rows"), {"by": "nobody"}).content.decode()
    assert "Nothing like this was done" in page


def create_copy(session: TrainingSession) -> TrainingSession:
    return sessions.create(sessions.spec_of(session), by=None, now=timezone.now())


# ---- alerts


def test_a_first_rule_is_one_press_away(browser: Browser) -> None:
    page = browser.get(reverse("alerts")).content.decode()
    assert f'{reverse("rule_new")}?kind=round_waits"' in page
    form = browser.get(reverse("rule_new"), {"kind": "round_waits"}, headers=HTMX).content.decode()
    assert '<option value="round_waits" selected>' in form
    assert browser.get(reverse("rule_new"), {"kind": "nonsense"}, headers=HTMX).status_code == 200


def test_a_rule_is_made_refused_changed_and_deleted(browser: Browser) -> None:
    typed = {"kind": "round_waits", "minutes": "5", "factor": "2", "enabled": "on"}
    assert browser.post(reverse("rule_new"), typed | {"minutes": "0"}).status_code == 422
    assert "cannot be" in browser.post(reverse("rule_new"), typed | {"webhook_url": "gopher://x"}).content.decode()
    assert not AlertRule.objects.exists()
    browser.post(reverse("rule_new"), typed)
    rule = AlertRule.objects.get()
    assert (rule.minutes, rule.created_by) == (5, "mara")
    browser.post(reverse("rule", args=[rule.pk]), typed | {"minutes": "7"})
    assert AlertRule.objects.get().minutes == 7
    assert browser.post(reverse("rule_test", args=[rule.pk]), headers=HTMX).status_code == 409  # tells the page alone
    answer = browser.post(reverse("rule_test", args=[rule.pk]))
    assert (answer.status_code, answer["Location"]) == (302, reverse("alerts"))
    assert "0 alerts" in browser.get(reverse("rule_delete", args=[rule.pk]), headers=HTMX).content.decode()
    browser.post(reverse("rule_delete", args=[rule.pk]))
    assert not AlertRule.objects.exists()


def test_a_rule_that_is_made_on_a_page_of_its_own_leads_back_to_the_alerts(browser: Browser) -> None:
    typed = {"kind": "round_waits", "minutes": "5", "factor": "2", "enabled": "on"}
    for page, goes in (("rule_new", reverse("alerts")), ("alerts", None)):
        headers = HTMX | {"HX-Current-URL": f"http://testserver{reverse(page)}?from=here"}
        answer = browser.post(reverse("rule_new"), typed, headers=headers)
        assert (answer.status_code, answer.headers.get("HX-Redirect")) == (204, goes)


def test_alerts_are_shown_and_acknowledged(browser: Browser, db: None) -> None:
    rule = AlertRule.objects.create(kind="session_done")
    alert = Alert.objects.create(rule=rule, cause="x", sentence="<b>first</b> is completed.")
    page = browser.get(reverse("alerts")).content.decode()
    assert "&lt;b&gt;first" in page and "1 alert open" in page
    first_page = browser.get(reverse("overview_parts")).content.decode()
    assert "1 alert open" in first_page and "&lt;b&gt;first" in first_page
    for given, status in (({"alert": alert.pk}, 204), ({"alert": alert.pk}, 409), ({"alert": "x"}, 409)):
        assert browser.post(reverse("alert_acknowledge"), given, headers=HTMX).status_code == status
    assert "acknowledged by mara" in browser.get(reverse("alerts"), {"show": "all"}).content.decode()


@pytest.mark.parametrize("name", ["model", "client", "rule"])
def test_what_is_not_there_is_404(browser: Browser, name: str) -> None:
    assert browser.get(reverse(name, args=[999])).status_code == 404


@pytest.mark.parametrize("name", ["compare", "models", "activity", "alerts"])
def test_a_stranger_signs_in_first(stranger: Browser, name: str) -> None:
    assert stranger.get(reverse(name))["Location"].startswith("/sign-in/")
