"""The round now: what it waits for, and what can be done about it."""

import re
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.session import actions, round_now
from dashboard.pages.session.round_now import RoundNow
from dashboard.pages.session.why import why_it_waits
from federation.lifecycle import RoundStatus
from federation.models import Client, Participation, TrainingSession
from federation.services import rounds, seats, sessions
from tests.dashboard.cast import HTMX, Create, report, seat_of, stream
from tests.dashboard.markup import compact


def now_of(session: TrainingSession) -> RoundNow:
    session.refresh_from_db()
    return round_now.of(session, now=timezone.now())


def kinds(session: TrainingSession) -> list[str]:
    return [why.kind for why in why_it_waits(now_of(session))]


def text(session: TrainingSession) -> str:
    """What the round's card says, without markup."""
    return " ".join(re.sub(r"<[^>]+>", "", str(why.sentence)) for why in why_it_waits(now_of(session)))


def test_it_says_how_many_updates_are_needed_and_whose_is_next(running: TrainingSession) -> None:
    stream(running, "ben", [1.0], fraction=0.5)
    assert "2 more updates are needed. Next is ben: it is training: 50\u202f% done" in text(running)


def test_it_names_the_one_that_decides(running: TrainingSession) -> None:
    report(running, "anna")
    seat_of(running, "ben")
    assert "One more update is needed. ben is fetching the model." in text(running)


def test_it_says_why_it_stays_open_with_a_quorum(running: TrainingSession) -> None:
    report(running, "anna")
    report(running, "ben")
    assert "The quorum is reached. The round stays open for carl" in text(running)


def test_it_says_when_the_quorum_is_lost_and_what_follows(running: TrainingSession) -> None:
    for name in ("anna", "ben"):
        seats.fail(seat_of(running, name), reason="out of memory")
    said = text(running)
    assert "The quorum cannot be reached any more. 2 are missing and 1 can still come." in said
    assert "the round fails and opens again" in said
    assert "anna gave up: out of memory." in said


def test_a_client_that_is_too_slow_is_said_to_be_late(running: TrainingSession) -> None:
    now = timezone.now()
    stream(running, "ben", [1.0], fraction=0.1)
    Participation.objects.filter(client__name="ben").update(
        phase_at=now - timedelta(seconds=200), progress_at=now, fraction=0.1
    )
    at = now_of(running)
    assert "late" in [why.kind for why in why_it_waits(at)]
    extend = next(action for action in actions.of(at) if action.to == "round_extend")
    assert not extend.advised
    assert "still too short for ben" in str(extend.effect)
    Participation.objects.filter(client__name="ben").update(phase_at=now - timedelta(seconds=80))
    extend = next(action for action in actions.of(now_of(running)) if action.to == "round_extend")
    assert extend.advised
    assert "ben would make it" in str(extend.effect)


def test_it_names_the_last_when_all_can_be_estimated(running: TrainingSession) -> None:
    report(running, "anna")
    began = timezone.now() - timedelta(seconds=20)
    for name, fraction in (("ben", 0.8), ("carl", 0.5)):
        stream(running, name, [1.0], fraction=fraction)
        Participation.objects.filter(client__name=name).update(phase_at=began, progress_at=timezone.now())
    assert "carl is the last: about 20 s left." in text(running)


def test_a_silent_client_is_named(running: TrainingSession) -> None:
    Client.objects.filter(name="carl").update(last_seen=timezone.now() - timedelta(minutes=3))
    assert "carl went silent" in text(running)


def test_a_client_that_stops_in_the_middle_is_named_long_before_it_counts_as_away(running: TrainingSession) -> None:
    report(running, "anna")
    report(running, "ben")
    stream(running, "carl", [1.0], fraction=0.5)
    now = timezone.now()
    carl = Participation.objects.filter(client__name="carl")
    carl.update(phase_at=now - timedelta(seconds=24), progress_at=now - timedelta(seconds=4))
    at = now_of(running)
    [lane] = [lane for lane in at.all_lanes if lane.is_open]
    assert [why.kind for why in why_it_waits(at)] == ["reached"]
    assert lane.left == pytest.approx(16, abs=2)  # the clock goes on while pages are made
    carl.update(phase_at=now - timedelta(seconds=10), progress_at=now - timedelta(seconds=8))
    [lane] = [lane for lane in now_of(running).all_lanes if lane.is_open]
    assert lane.left == pytest.approx(10, abs=2), "it comes no nearer while it stands still"
    carl.update(phase_at=now - timedelta(seconds=40), progress_at=now - timedelta(seconds=20))
    at = now_of(running)
    [lane] = [lane for lane in at.all_lanes if lane.is_open]
    assert lane.blocking and lane.detail == "no word for 20 s"
    assert (lane.left, lane.eta) == (None, None), "nothing can be told of one that may have stopped"
    assert "carl has sent no word for 20 s. It is waited for until the deadline." in text(running)
    assert [action.to for action in actions.of(at) if action.advised] == ["round_skip"]


def test_skipping_a_client_that_stopped_is_advised_while_others_come(running: TrainingSession) -> None:
    report(running, "anna")
    for name in ("ben", "carl"):
        stream(running, name, [1.0], fraction=0.5)
    long_ago = timezone.now() - timedelta(seconds=20)
    Participation.objects.filter(client__name="ben").update(progress_at=long_ago)
    assert [(a.to, a.label) for a in actions.of(now_of(running)) if a.advised] == [("round_skip", "Skip ben …")]
    assert "ben has sent no word for 20 s." in text(running)
    assert "late" not in kinds(running), "an estimate is nothing worth for one that may have stopped"


def test_a_refused_update_is_told_with_its_reason(running: TrainingSession) -> None:
    Participation.objects.filter(client__name="carl").update(reason="weight holds a value that is not finite.")
    assert "carl: weight holds a value that is not finite. It may send another." in text(running)


def test_without_clients_it_says_what_it_waits_for(create: Create, ticking: None) -> None:
    assert kinds(create(start=True)) == ["no_clients"]


def test_a_silent_worker_comes_first(create: Create) -> None:
    assert kinds(create(start=True))[0] == "worker_silent"


def test_a_draft_and_an_ended_session_wait_for_nothing(create: Create, running: TrainingSession) -> None:
    assert why_it_waits(now_of(create())) == []
    sessions.cancel(running, by=None, now=timezone.now())
    at = now_of(running)
    assert (why_it_waits(at), actions.of(at), at.is_active) == ([], [], False)


def effects(session: TrainingSession) -> dict[str, tuple[bool, str]]:
    return {
        action.to.removeprefix("round_"): (action.off, re.sub(r"<[^>]+>", "", str(action.effect)))
        for action in actions.of(now_of(session))
    }


def test_finishing_is_off_until_the_quorum_and_says_what_is_missing(running: TrainingSession) -> None:
    report(running, "anna")
    assert effects(running)["finish"] == (True, "Not yet: 1 more update is needed for the quorum of 2.")
    report(running, "ben")
    off, effect = effects(running)["finish"]
    assert not off
    assert effect == "Aggregates 2 updates. carl comes too late and will be labelled so."


def test_skipping_is_off_when_it_would_lose_the_round(running: TrainingSession) -> None:
    seats.fail(seat_of(running, "anna"), reason="stopped")
    off, effect = effects(running)["skip"]
    assert off
    assert effect == "Not now: the quorum of 2 could not be reached without it."


def test_skipping_says_when_the_round_closes_then(running: TrainingSession) -> None:
    report(running, "anna")
    report(running, "ben")
    assert effects(running)["skip"] == (
        False,
        "The round closes at once with 2 updates. What carl sends later is kept, labelled late.",
    )


def test_a_round_that_is_aggregating_offers_nothing(running: TrainingSession) -> None:
    report(running, "anna")
    report(running, "ben")
    rounds.finish(running, by="mara", now=timezone.now())
    assert all(effects(running)[name][0] for name in ("extend", "skip", "finish"))
    assert kinds(running) == ["aggregating"]


def test_pausing_and_cancelling_say_beforehand_what_they_do(browser: Browser, running: TrainingSession) -> None:
    said = effects(running)
    assert said["session_pause"][1] == "Round 1 goes on; no new one opens until you resume. Nothing is lost."
    assert said["session_cancel"][1].startswith("Stops for good: what round 1 has so far is lost.")
    sessions.pause(running, by=None)
    running.round_set.update(status=RoundStatus.CANCELLED, closed_at=timezone.now())
    said = effects(running)
    assert set(said) == {"session_resume", "session_cancel"}
    assert said["session_cancel"][1].startswith("Stops for good: nothing is lost by it.")
    sessions.cancel(running, by=None, now=timezone.now())
    assert effects(running) == {}


def test_an_extension_is_half_a_rounds_time_as_one_would_say_it() -> None:
    assert [actions.extension_seconds(s) for s in (1, 60, 600, 700, 7200)] == [10, 30, 300, 300, 3600]


def test_a_button_that_is_off_stays_reachable_and_says_why(browser: Browser, running: TrainingSession) -> None:
    page = compact(browser.get(reverse("session_round", args=[running.pk]), headers=HTMX).content.decode())
    assert re.search(r'id="act-round_finish" aria-disabled="true">.*?Not yet: 2 more updates are needed', page, re.S)


def test_a_fragment_is_what_the_page_includes(browser: Browser, running: TrainingSession) -> None:
    stream(running, "anna", [1.0])
    page = browser.get(reverse("session", args=[running.pk])).content.decode()
    for name, tag in (
        ("session_head", 'id="head"'),
        ("session_history", 'id="history"'),
        ("session_events", 'id="events"'),
    ):
        fragment = browser.get(reverse(name, args=[running.pk]), headers=HTMX).content.decode()
        assert tag in fragment
        assert "<html" not in fragment
        still = re.sub(r"<time[^>]*>[^<]*</time>|csrf[^>]*>", "", fragment).strip()
        assert still in re.sub(r"<time[^>]*>[^<]*</time>|csrf[^>]*>", "", page)


def test_the_rounds_fragment_brings_the_lanes_along(browser: Browser, running: TrainingSession) -> None:
    fragment = browser.get(reverse("session_round", args=[running.pk]), headers=HTMX).content.decode()
    assert fragment.index('id="now"') < fragment.index('id="lanes"')
    assert re.search(r'id="lanes"[^>]*hx-swap-oob="true"', fragment)
    page = browser.get(reverse("session", args=[running.pk])).content.decode()
    assert "hx-swap-oob" not in page


def test_the_page_shows_the_seats_with_their_words(browser: Browser, running: TrainingSession) -> None:
    report(running, "anna", train_loss=0.25)
    stream(running, "ben", [1.0, 0.9], fraction=0.5)
    fragment = compact(browser.get(reverse("session_round", args=[running.pk]), headers=HTMX).content.decode())
    said = {
        name: status
        for name, status in re.findall(r'class="lane[^"]*"[^>]*data-client="(\w+)" data-status="(\w+)"', fragment)
    }
    assert said == {"anna": "reported", "ben": "training", "carl": "invited"}
    assert "loss 0.250" in fragment
    assert "step 2 of 4" in fragment
    assert "<strong>1 in</strong>, 2 needed of 3 asked" in fragment
