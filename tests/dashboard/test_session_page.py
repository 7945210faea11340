import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.session import actions, curves, lanes, log, round_now, summary
from dashboard.pages.session.round_now import RoundNow
from dashboard.pages.session.why import why_it_waits
from federation.lifecycle import FileStatus, RoundStatus
from federation.models import Client, Metric, Participation, Round, TrainingSession
from federation.services import models, rounds, seats, sessions
from tests.dashboard.cast import HTMX, fail_round, finish_round, report, seat_of, stream

Enrol = Callable[..., list[Client]]
Create = Callable[..., TrainingSession]


def now_of(session: TrainingSession) -> RoundNow:
    session.refresh_from_db()
    return round_now.of(session, now=timezone.now())


def kinds(session: TrainingSession) -> list[str]:
    return [why.kind for why in why_it_waits(now_of(session))]


def text(session: TrainingSession) -> str:
    """What the round's card says, without markup."""
    return " ".join(re.sub(r"<[^>]+>", "", str(why.sentence)) for why in why_it_waits(now_of(session)))


# ---- why the round waits


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
    assert lane.left is not None and round(lane.left) == 16
    carl.update(phase_at=now - timedelta(seconds=10), progress_at=now - timedelta(seconds=8))
    [lane] = [lane for lane in now_of(running).all_lanes if lane.is_open]
    assert lane.left is not None and round(lane.left) == 10, "it comes no nearer while it stands still"
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


# ---- what can be done


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
    page = browser.get(reverse("session_round", args=[running.pk]), headers=HTMX).content.decode()
    assert re.search(r'id="act-round_finish" aria-disabled="true">.*?Not yet: 2 more updates are needed', page, re.S)


# ---- the fragments


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
    fragment = browser.get(reverse("session_round", args=[running.pk]), headers=HTMX).content.decode()
    said = {
        name: status
        for name, status in re.findall(r'class="lane[^"]*"[^>]*data-client="(\w+)" data-status="(\w+)"', fragment)
    }
    assert said == {"anna": "reported", "ben": "training", "carl": "invited"}
    assert "loss 0.250" in fragment
    assert "step 2 of 4" in fragment
    assert "<strong>1 in</strong>, 2 needed of 3 asked" in fragment


def test_events_are_filtered_to_problems_and_to_people(browser: Browser, running: TrainingSession) -> None:
    rounds.skip(running, seat_of(running, "anna").pk, by="mara")
    seats.fail(seat_of(running, "ben"), reason="no space left")
    address = reverse("session_events", args=[running.pk])

    def kinds_of(show: str) -> set[str]:
        page = browser.get(address, {"show": show}, headers=HTMX).content.decode()
        return set(re.findall(r'data-kind="([\w.]+)"', page))

    assert {"session.created", "round.opened", "seat.skipped", "seat.failed"} <= kinds_of("")
    assert kinds_of("problems") == {"seat.failed"}
    assert kinds_of("people") == {"session.created", "session.started", "seat.skipped"}


def shown(browser: Browser, session: TrainingSession, **query: str) -> list[str]:
    page = browser.get(reverse("session_events", args=[session.pk]), query, headers=HTMX).content.decode()
    return re.findall(r'data-kind="([\w.]+)"', page)


def test_events_are_narrowed_by_kind_client_and_text(browser: Browser, running: TrainingSession) -> None:
    report(running, "anna", train_loss=0.25)
    seats.fail(seat_of(running, "ben"), reason="no space left on device")
    ben = Client.objects.get(name="ben")
    assert shown(browser, running, kind="update.received") == ["update.received"]
    assert shown(browser, running, client=str(ben.pk)) == ["seat.failed", "seat.training"]
    assert shown(browser, running, client=str(ben.pk), kind="seat.training") == ["seat.training"]
    assert shown(browser, running, find="NO SPACE") == ["seat.failed"]
    assert shown(browser, running, find="anna reported: 50 examples") == ["update.received"]
    assert shown(browser, running, find="strong") == []  # markup is no text
    page = browser.get(reverse("session_events", args=[running.pk]), {"find": "nowhere"}, headers=HTMX)
    assert "No event fits" in page.content.decode()


def test_a_search_says_what_it_did_not_look_through(
    browser: Browser, running: TrainingSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST_READ", 2)
    address = reverse("session_events", args=[running.pk])
    every = running.events.exclude(kind="metrics.reported").count()
    page = browser.get(address, {"find": "launched"}, headers=HTMX).content.decode()
    assert f"{every - 2} older ones not." in page and "No event fits" in page
    assert 'hx-get="' + address + '?find=launched&amp;deep=1"' in page
    page = browser.get(address, {"find": "invited", "deep": "1"}, headers=HTMX).content.decode()
    assert "older ones not" not in page and 'data-query="find=invited&amp;deep=1"' in page
    assert "older ones not" not in browser.get(address, headers=HTMX).content.decode()


def test_what_makes_no_sense_narrows_nothing(browser: Browser, running: TrainingSession) -> None:
    whole = shown(browser, running)
    for query in ({"kind": "x"}, {"client": "x"}, {"client": "9" * 30}, {"show": "x"}, {"lines": "9" * 30}):
        assert shown(browser, running, **query) == whole


def test_the_choice_is_kept_in_the_address_and_by_what_comes_live(browser: Browser, running: TrainingSession) -> None:
    asked = {"kind": "round.opened", "find": "a&b <c>"}
    page = browser.get(reverse("session", args=[running.pk]), asked).content.decode()
    again = "kind=round.opened&amp;find=a%26b+%3Cc%3E"
    assert f'data-query="{again}"' in page
    assert f'hx-get="{reverse("session_events", args=[running.pk])}?{again}"' in page
    assert '<option value="round.opened" selected>Round opened</option>' in page
    assert 'value="a&amp;b &lt;c&gt;"' in page


def test_points_of_curves_are_not_in_the_log(browser: Browser, running: TrainingSession) -> None:
    stream(running, "anna", [1.0])
    page = browser.get(reverse("session_events", args=[running.pk]), headers=HTMX).content.decode()
    assert "metrics.reported" not in page


def test_more_of_the_log_and_of_the_rounds_is_shown_on_demand(browser: Browser, running: TrainingSession) -> None:
    for n in range(60):
        rounds.extend(running, seconds=10 + n, by="mara")
    address = reverse("session_events", args=[running.pk])
    assert browser.get(address, headers=HTMX).content.decode().count("<li data-seq") == 50
    assert shown(browser, running, lines="250").count("round.extended") == 60
    assert browser.get(address, {"lines": "no"}, headers=HTMX).status_code == 200


def test_rounds_tell_how_they_went(browser: Browser, running: TrainingSession) -> None:
    report(running, "anna")
    fail_round(running)
    rounds.advance(running, now=timezone.now())
    finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    page = browser.get(reverse("session_history", args=[running.pk]), headers=HTMX).content.decode()
    assert "1 of 2 needed updates had arrived at the deadline." in page
    assert re.findall(r'data-round="(\d)" data-attempt="(\d)"', page) == [("2", "1"), ("1", "2"), ("1", "1")]
    assert "3 of 3" in page


def test_models_can_be_downloaded_and_the_best_is_marked(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.2)
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.9)
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.7)
    page = browser.get(reverse("session_history", args=[running.pk]), headers=HTMX).content.decode()
    best = re.search(r'<tr class="is-best" data-version="(\d)"', page)
    assert best and best[1] == "1"
    for model in running.models.all():
        assert f'href="/api/v1/models/{model.digest}" download="model-{model.digest[:12]}.safetensors"' in page
    assert "Measured by the clients on their own held-out data" in page


def test_a_version_opens_with_its_digest_snippets_and_lineage(browser: Browser, running: TrainingSession) -> None:
    TrainingSession.objects.update(name="it's \"<b>")
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.2)
    address = reverse("session_history", args=[running.pk])
    page = browser.get(address, {"model": "1"}, headers=HTMX).content.decode()
    model = running.models.get(version=1)
    assert 'data-keeps="model" data-query="model=1"' in page
    assert f"<code>{model.digest}</code>" in page
    assert f'load_file("model-{model.digest[:12]}.safetensors")' in page
    assert f'torch.load("model-{model.digest[:12]}.pt", weights_only=True)' in page
    assert "by 3 updates of round 1" in page and f'href="{reverse("model", args=[model.parent_id])}">v0</a>' in page
    for client in ("anna", "ben", "carl"):
        assert Participation.objects.get(client__name=client, round__number=1).digest in page
    assert "<b>" not in page


@pytest.mark.parametrize("asked", ["", "9", "x", "1" * 30])
def test_no_version_is_opened_that_is_not_there(browser: Browser, running: TrainingSession, asked: str) -> None:
    page = browser.get(reverse("session_history", args=[running.pk]), {"model": asked}, headers=HTMX).content.decode()
    assert 'data-query=""' in page and 'aria-expanded="true"' not in page and "is-opened" not in page


def test_a_model_without_a_file_is_not_offered_for_download(browser: Browser, running: TrainingSession) -> None:
    running.models.update(file_status=FileStatus.REMOVED)
    page = browser.get(reverse("session_history", args=[running.pk]), headers=HTMX).content.decode()
    assert "file removed" in page and "/api/v1/models/" not in page


def test_six_numbers_are_those_of_the_database(running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.2)
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.5)
    found = summary.of(running, now=timezone.now())
    sent = sum(Participation.objects.values_list("num_bytes", flat=True))
    assert (found.progress.completed, found.progress.number, found.received_bytes) == (2, 3, sent)
    assert found.progress.strip == ["is-done", "is-done", "is-now"]
    [accuracy] = found.results
    assert accuracy["value"] == 0.5
    assert round(accuracy["change"], 6) == 0.3
    assert (accuracy["better"], accuracy["since"], accuracy["how"]) == (True, 0, "by the clients")
    assert found.ends_at is not None


def test_a_round_that_lasts_much_longer_than_those_before_tells_no_end(running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl")
    opened = running.active_round().opened_at
    assert summary.of(running, now=opened + timedelta(seconds=9)).ends_at is not None
    assert summary.of(running, now=opened + timedelta(hours=1)).ends_at is None


def test_many_rounds_are_a_bar_instead_of_cells(create: Create) -> None:
    assert summary.of(create(rounds=500), now=timezone.now()).progress.strip == []


def test_an_ended_session_shows_what_can_follow(browser: Browser, running: TrainingSession) -> None:
    for _ in range(3):
        finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    page = browser.get(reverse("session", args=[running.pk])).content.decode()
    assert "Nothing runs any more" in page
    assert "All 3 rounds are done" in page
    assert reverse("session_more", args=[running.pk]) in page
    assert reverse("session_delete", args=[running.pk]) in page
    assert reverse("session_cancel", args=[running.pk]) not in page
    assert re.search(rf'id="train-further" href="{reverse("session_more", args=[running.pk])}"', page)


def test_a_failed_session_says_why_on_top(browser: Browser, running: TrainingSession) -> None:
    models.fail_initial(running.pk, "never", now=timezone.now())  # it has a model: nothing happens
    for _ in range(3):
        fail_round(running)
        rounds.advance(running, now=timezone.now())
    page = browser.get(reverse("session", args=[running.pk])).content.decode()
    assert "<strong>The session failed.</strong> Round 1 failed 3 times." in page


# ---- lanes


def laid(session: TrainingSession, now: datetime | None = None, **change: object) -> lanes.Lanes:
    round_ = Round.objects.get(session=session)
    for name, value in change.items():
        setattr(round_, name, value)
    return lanes.of(round_, list(lanes.seats([round_])), now=now or timezone.now())


def test_a_lane_has_the_phases_that_there_were(running: TrainingSession) -> None:
    opened = timezone.now() - timedelta(seconds=40)
    at = {
        name: opened + timedelta(seconds=s) for name, s in {"taken_at": 2, "training_at": 5, "trained_at": 25}.items()
    }
    Participation.objects.filter(client__name="anna").update(
        status="reported", reported_at=opened + timedelta(seconds=30), **at
    )
    rows = laid(running, opened_at=opened)
    anna = rows.rows[0]
    assert [(phase, round(begin), round(end)) for phase, begin, end in anna.stops] == [
        ("offered", 0, 2),
        ("down", 2, 5),
        ("train", 5, 25),
        ("up", 25, 30),
    ]
    assert round(anna.end * rows.scale, 3) == 30


def test_the_axis_reaches_to_the_deadline_only_when_it_is_near(running: TrainingSession) -> None:
    now = timezone.now()
    fresh = laid(running, now, opened_at=now)
    assert fresh.deadline is None
    assert fresh.scale == 5
    old = laid(running, now, opened_at=now - timedelta(seconds=500), deadline=now + timedelta(seconds=100))
    assert old.deadline is not None
    assert old.scale >= 600


def test_what_is_still_to_come_is_split_at_the_deadline(running: TrainingSession) -> None:
    now = timezone.now()
    seat_of(running, "anna")
    Participation.objects.filter(client__name="anna").update(
        phase="training", fraction=0.5, phase_at=now - timedelta(seconds=30), progress_at=now
    )
    rows = laid(running, now, opened_at=now - timedelta(seconds=40), deadline=now + timedelta(seconds=10))
    anna = rows.rows[0]
    assert anna.eta is not None and anna.eta_late is not None
    assert round(anna.eta.width * rows.scale) == 10
    assert round(anna.eta_late.width * rows.scale) == 20


def test_more_lanes_than_have_room_leave_out_those_that_are_done(
    enrol: Enrol, create: Create, ticking: None, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    enrol(*(f"site-{n:03}" for n in range(120)))
    session = create(start=True)
    rounds.advance(session, now=timezone.now())
    Participation.objects.filter(client__name__lt="site-030").update(status="reported")
    at = now_of(session)
    assert at.lanes is not None
    assert (len(at.lanes.shown), at.lanes.hidden) == (lanes.MOST, 20)
    assert sum(lane.is_open for lane in at.lanes.shown) == 90
    assert at.many
    assert at.meter == {"is_in": 0.25, "coming": 0.75, "quorum": 2 / 120}


# ---- points


def test_points_come_with_the_number_of_the_event_to_go_on_from(browser: Browser, running: TrainingSession) -> None:
    stream(running, "anna", [2.0, 1.0], fraction=0.25)
    stream(running, "ben", [3.0, None], fraction=0.5)
    found = browser.get(reverse("session_points", args=[running.pk])).json()
    running.refresh_from_db()
    assert found["seq"] == running.last_seq
    by_name = {client["id"]: client["name"] for client in found["clients"]}
    series = {by_name[seat["client"]]: seat["series"]["train_loss"][:2] for seat in found["seats"]}
    assert series == {"anna": [[1, 2], [2.0, 1.0]], "ben": [[1, 2], [3.0, None]]}
    assert {by_name[seat["client"]]: seat["steps"] for seat in found["seats"]} == {"anna": 8, "ben": 4}


def test_a_retried_rounds_points_replace_those_of_the_failed_try(running: TrainingSession) -> None:
    stream(running, "anna", [9.0, 9.0, 9.0])
    fail_round(running)
    rounds.advance(running, now=timezone.now())
    stream(running, "anna", [1.0])
    assert Metric.objects.count() == 4
    [seat] = curves.of(running)["seats"]
    assert seat["attempt"] == 2
    assert seat["series"]["train_loss"][1] == [1.0]


def test_points_are_read_in_as_many_queries_for_many_rounds(
    running: TrainingSession, django_assert_num_queries: Callable[[int], object]
) -> None:
    for _ in range(2):
        stream(running, "anna", [1.0])
        finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    with django_assert_num_queries(6):  # type: ignore[attr-defined]
        curves.of(running)


def test_the_global_models_figure_is_on_the_page(browser: Browser, running: TrainingSession) -> None:
    for accuracy in (0.2, 0.5):
        finish_round(running, "anna", "ben", "carl", base_val_accuracy=accuracy)
    page = browser.get(reverse("session", args=[running.pk])).content.decode()
    found = re.search(r'<script id="global-figures" type="application/json">(.*?)</script>', page)
    assert found
    [federated, best] = json.loads(found[1])["accuracy"]["data"]
    assert (federated["x"], federated["y"]) == ([0, 1], [0.2, 0.5])
    assert best["x"] == [1]


def test_a_page_says_that_its_curves_were_thinned(browser: Browser, running: TrainingSession) -> None:
    address = reverse("session", args=[running.pk])
    assert "data-compacted" not in browser.get(address).content.decode()
    TrainingSession.objects.update(compacted_at=timezone.now(), points_reported=1234)
    assert "0 of 1,234 points are kept" in browser.get(address).content.decode().replace("\u202f", ",")


def test_no_tick_is_labelled_under_the_labels_of_now_and_the_deadline(running: TrainingSession) -> None:
    now = timezone.now()
    close = laid(running, now, opened_at=now - timedelta(seconds=50), deadline=now + timedelta(seconds=10))
    assert close.marks_meet and close.now_anchor == "end"
    assert close.now is not None and close.deadline is not None
    for x, _ in close.labels:
        assert not close.now - 0.2 < x < close.deadline + 0.04
