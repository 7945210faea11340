"""Alerts and their rules."""

from __future__ import annotations

from django.test import Client as Browser
from django.urls import reverse

from federation.models import Alert, AlertRule
from tests.dashboard.cast import HTMX
from tests.dashboard.markup import compact


def test_a_first_rule_is_one_press_away(browser: Browser) -> None:
    page = browser.get(reverse("alerts")).content.decode()
    assert f'{reverse("rule_new")}?kind=round_waits"' in page
    form = compact(browser.get(reverse("rule_new"), {"kind": "round_waits"}, headers=HTMX).content.decode())
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
