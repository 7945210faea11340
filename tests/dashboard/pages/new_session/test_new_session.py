import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.new_session import initial, presets
from dashboard.pages.new_session.forms import NewSessionForm
from federation.fl import sampling
from federation.fl.strategies import STRATEGIES
from federation.fl.workloads import WORKLOADS
from federation.models import Client, GlobalModel, Round, TrainingSession
from federation.services import clients, sessions
from federation.session_settings import Spec
from tests.dashboard.cast import HTMX, SPEC, finish_round
from tests.dashboard.markup import compact

Enrol = Callable[..., list[Client]]
Create = Callable[..., TrainingSession]
TYPED = {
    "name": "night run", "workload": "synthetic", "workload.synthetic.num_parameters": "12", "start_from": "",
    "rounds": "4", "round_time": "2", "round_unit": "min", "cohort_size": "", "quorum": "1", "epochs": "2",
    "batch_size": "16", "learning_rate": "0.05", "seed": "7", "strategy": "fedavg", "strategy.fedavg.server_lr": "0.5",
    "max_retries": "3", "on_round_failure": "skip", "late_policy": "next_round", "compression": "topk",
    "compression.topk.fraction": "0.2", "fine_tune_epochs": "0",
}  # fmt: skip


def post(browser: Browser, **change: str) -> Any:
    return browser.post(reverse("session_new"), TYPED | {"launch": "1"} | change)


def test_everything_that_was_typed_becomes_the_session(browser: Browser) -> None:
    answer = post(browser)
    session = TrainingSession.objects.get()
    assert answer["Location"] == reverse("session", args=[session.pk])
    assert sessions.spec_of(session) == Spec(
        name="night run",
        workload="synthetic",
        workload_options={"num_parameters": 12},
        rounds=4,
        strategy="fedavg",
        strategy_options={"server_lr": 0.5, "weighting": "examples", "most_share": 0.5},
        compression="topk",
        compression_options={"fraction": 0.2},
        cohort_size=None,
        quorum=1,
        round_seconds=120,
        max_retries=3,
        on_round_failure="skip",
        late_policy="next_round",
        train={"epochs": 2, "batch_size": 16, "learning_rate": 0.05},
        optimizer_options={"momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
        rate_schedule_options={"warmup_rounds": 0},
        seed=7,
    )
    assert session.status == "running"
    assert session.created_by is not None and session.created_by.username == "mara"


def test_a_draft_waits_to_be_started(browser: Browser) -> None:
    browser.post(reverse("session_new"), TYPED | {"draft": "1"})
    assert TrainingSession.objects.get().status == "draft"


IMPOSSIBLE = [
    ({"compression": "zip"}, "compression", "There is no compression &#x27;zip&#x27;"),
    ({"compression.topk.fraction": "2"}, "compression.topk.fraction", "Fraction must be a number above 0 up to 1"),
    ({"name": " "}, "name", "A session needs a name of 1 to 100 characters."),
    ({"name": "x" * 101}, "name", "A session needs a name of 1 to 100 characters."),
    ({"rounds": "0"}, "rounds", "Rounds is 0: choose 1 to"),
    ({"rounds": "many"}, "rounds", "&#x27;many&#x27; is not a whole number."),
    ({"rounds": ""}, "rounds", "This cannot be left empty."),
    ({"rounds": "9" * 60}, "rounds", "choose 1 to"),
    ({"round_time": "0"}, "round_time", "Time for a round is 0 minutes: choose 1 second to 30 days."),
    ({"round_time": "nan"}, "round_time", "is not a finite number"),
    ({"round_time": "31", "round_unit": "d"}, "round_time", "Time for a round is 31 days: choose 1 second to 30 days."),
    ({"cohort_size": "0"}, "cohort_size", "Clients asked is 0"),
    ({"cohort_size": "3", "quorum": "8"}, "quorum", "8 can never be reached: 3 clients are asked."),
    ({"quorum": "0"}, "quorum", "Quorum is 0"),
    ({"epochs": "1.5"}, "epochs", "&#x27;1.5&#x27; is not a whole number."),
    ({"learning_rate": "-0.1"}, "learning_rate", "Learning rate must be a number above 0"),
    ({"learning_rate": "inf"}, "learning_rate", "is not a finite number"),
    ({"seed": "-1"}, "seed", "Seed is -1"),
    ({"workload": "nonsense"}, "workload", "There is no workload &#x27;nonsense&#x27;"),
    ({"strategy": "nonsense"}, "strategy", "There is no strategy &#x27;nonsense&#x27;"),
    (
        {"workload.synthetic.num_parameters": "0"},
        "workload.synthetic.num_parameters",
        "Num parameters must be a whole number from 1",
    ),
    ({"strategy.fedavg.server_lr": "x"}, "strategy.fedavg.server_lr", "&#x27;x&#x27; is not a number."),
    ({"start_from": "1:1"}, "start_from", "Session 1 has no model of version 1."),
    ({"start_from": "junk"}, "start_from", "has no model of version"),
    ({"max_retries": "101"}, "max_retries", "Retries is 101"),
    ({"late_policy": "hope"}, "late_policy", "hope is not one of the available choices"),
    ({"on_round_failure": "hope"}, "on_round_failure", "hope is not one of the available choices"),
]


@pytest.mark.parametrize(("change", "field", "sentence"), IMPOSSIBLE)
def test_an_impossible_value_is_told_beside_its_field_and_everything_typed_is_kept(
    browser: Browser, change: dict[str, str], field: str, sentence: str
) -> None:
    answer = post(browser, **change)
    page = compact(answer.content.decode())
    assert answer.status_code == 422
    assert not TrainingSession.objects.exists()
    beside = re.search(rf'<div class="field is-bad" data-field="{re.escape(field)}">.*?</p>', page, re.S)
    assert beside and sentence in beside[0]
    assert re.search(rf'name="{re.escape(field)}"[^>]*aria-invalid="true"', page)
    for name, value in (TYPED | change).items():
        if value.strip() and not name.startswith(
            ("start_from", "workload", "strategy", "compression", "round_unit", "on_round", "late_policy")
        ):
            assert f'value="{value}"' in page


def test_everything_that_is_wrong_is_told_at_once(browser: Browser) -> None:
    page = post(browser, rounds="x", quorum="0", learning_rate="-1", name="").content.decode()
    assert "4 fields need you" in page
    assert page.count("field is-bad") == 4


def test_checking_while_one_types_says_the_same_as_launching(browser: Browser) -> None:
    address = reverse("session_check")
    assert browser.post(address, TYPED).json() == {"errors": {}}
    errors = browser.post(address, TYPED | {"cohort_size": "3", "quorum": "8", "seed": "x"}).json()["errors"]
    assert errors == {
        "quorum": "8 can never be reached: 3 clients are asked.",
        "seed": "'x' is not a whole number.",
    }
    assert not TrainingSession.objects.exists()


def test_options_of_another_workload_or_strategy_do_not_count(browser: Browser) -> None:
    post(browser, **{"strategy": "fedmedian", "strategy.fedavg.server_lr": "nonsense"})
    session = TrainingSession.objects.filter().first()
    assert session is None, "what cannot be read is told, even where it would not count"
    post(browser, **{"strategy": "fedmedian", "strategy.fedavg.server_lr": "9"})
    assert "server_lr" not in TrainingSession.objects.get().strategy_options


# ---- what it begins with


def test_the_form_can_be_launched_as_it_is(browser: Browser, enrol: Enrol) -> None:
    enrol(*(f"site-{n}" for n in range(5)))
    form = NewSessionForm(initial=initial.initial_of(presets.default_spec()))
    typed = {name: str(form[name].value() if form[name].value() is not None else "") for name in form.fields}
    browser.post(reverse("session_new"), typed | {"launch": "1"})
    session = TrainingSession.objects.get()
    assert session.quorum == 2
    assert session.train == dict(WORKLOADS[session.workload].train_defaults)


def test_without_clients_the_quorum_is_one(db: None) -> None:
    assert presets.default_spec().quorum == 1


def test_every_setting_is_explained_in_a_line(db: None) -> None:
    form = NewSessionForm(initial=initial.initial_of(presets.default_spec()))
    assert [name for name, field in form.fields.items() if not field.help_text and name != "round_unit"] == []


def test_every_workload_and_strategy_can_be_chosen_with_its_options(browser: Browser) -> None:
    page = browser.get(reverse("session_new")).content.decode()
    for kind, declared in (("workload", WORKLOADS), ("strategy", STRATEGIES)):
        for name, one in declared.items():
            assert f'<option value="{name}"' in page
            for option in one.options:
                assert f'name="{kind}.{name}.{option.name}"' in page


def test_only_the_options_of_the_chosen_workload_are_shown(browser: Browser, create: Create) -> None:
    page = compact(browser.get(reverse("session_new"), {"from": create().pk}).content.decode())
    assert re.search(r'data-options="workload" data-of="synthetic">', page)
    assert re.search(r'data-options="workload" data-of="digits" hidden>', page)


def test_change_and_run_again_fills_the_form_with_the_sessions_settings(browser: Browser, create: Create) -> None:
    session = create(rounds=17, quorum=3, round_seconds=7200, cohort_size=9)
    page = browser.get(reverse("session_new"), {"from": session.pk}).content.decode()
    for name, value in {"name": "first 2", "rounds": "17", "round_time": "2", "cohort_size": "9"}.items():
        assert re.search(rf'name="{name}" value="{value}"', page)
    assert '<option value="h" selected>' in page


def test_a_session_can_start_from_another_ones_model(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    page = browser.get(reverse("session_new"), {"start": f"{running.pk}:1"}).content.decode()
    assert f'<option value="{running.pk}:1" selected>first, v1' in page
    assert f'value="{sampling.further_seed(running.seed, 1)}"' in page, "it draws nothing a second time"
    options = {"workload.synthetic.num_parameters": "10"}
    post(browser, name="onwards", start_from=f"{running.pk}:1", **options)
    assert TrainingSession.objects.get(name="onwards").start_from == running.last_model()


def test_a_model_of_another_workload_is_refused(browser: Browser, running: TrainingSession) -> None:
    page = post(browser, start_from=f"{running.pk}:0").content.decode()
    assert "That model belongs to the workload synthetic with other options." in page


@pytest.mark.parametrize("query", ["?from=4711", "?start=4711:1", "?start=junk", "?from=" + "9" * 30 + "&start=1:1"])
def test_a_start_that_is_not_there_is_not_found(browser: Browser, query: str) -> None:
    assert browser.get(reverse("session_new") + query).status_code == 404


def test_a_specification_survives_the_form(db: None) -> None:
    typed = {name: "" if value is None else value for name, value in initial.initial_of(SPEC).items()}
    rest = {name: field.initial for name, field in NewSessionForm().fields.items() if field.initial is not None}
    form = NewSessionForm(rest | typed)
    assert form.is_valid(), form.errors
    assert form.spec == sessions.check(SPEC)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_can_be_launched_as_it_is(browser: Browser, enrol: Enrol, name: str) -> None:
    enrol(*(f"site-{n}" for n in range(6)))
    page = compact(browser.get(reverse("session_new"), {"preset": name}).content.decode())
    preset = presets.PRESETS[name]
    assert re.search(rf'href="\?preset={name}" aria-current="true"><strong>{preset.title}', page)
    typed = dict(re.findall(r'<input type="text" name="([\w.]+)"(?: value="([^"]*)")?', page))
    typed |= dict(re.findall(r'<select name="([\w.]+)".*?value="([^"]*)" selected', page, re.S))
    post(browser, **typed)
    session = TrainingSession.objects.get()
    made = presets.PRESETS[name].spec()
    assert (session.workload, session.strategy, session.rounds) == (made.workload, made.strategy, made.rounds)
    assert session.quorum == {"robust": 4, "load": 6}.get(name, 3)


def test_a_preset_that_is_not_there_is_the_balanced_one(browser: Browser) -> None:
    page = compact(browser.get(reverse("session_new"), {"preset": "nonsense"}).content.decode())
    assert 'href="?preset=balanced" aria-current="true"' in page


def test_a_past_session_can_be_started_from(browser: Browser, create: Create) -> None:
    session = create()
    page = compact(browser.get(reverse("session_new"), {"from": session.pk}).content.decode())
    assert f'<option value="{session.pk}" selected>first</option>' in page
    assert 'aria-current="true"><strong>' not in page, "no preset fills the form"


# ---- what it would cost


def estimated(browser: Browser, **change: str) -> str:
    typed = TYPED | {"workload.synthetic.num_parameters": "10"} | change
    page: str = browser.post(reverse("session_estimate"), typed, headers=HTMX).content.decode()
    return re.sub(r"<[^>]*>", " ", page)


def test_without_a_past_round_nothing_is_estimated(browser: Browser) -> None:
    assert "No round of this workload with these options has been completed yet." in estimated(browser)


def test_past_rounds_tell_what_a_session_would_cost(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    done = running.round_set.get(number=1)
    Round.objects.filter(pk=done.pk).update(closed_at=done.opened_at + timedelta(seconds=90))
    done.seats.update(num_bytes=1000)
    GlobalModel.objects.filter(session=running).update(num_bytes=3000)
    page = " ".join(estimated(browser, rounds="4", cohort_size="2", epochs=str(running.train["epochs"])).split())
    assert "from 1 past round" in page
    assert "A round about 1 min 30 s 4 rounds about 6 min" in page
    assert "Each client downloads 3.00 kB a round Each client uploads 1.00 kB a round All together 32.0 kB" in page
    assert "Models kept here 15.0 kB of" in page
    assert "as many epochs" in page
    assert "another number of epochs" in estimated(browser, epochs="9")
    assert "took longer than the time for a round" in estimated(browser, round_time="1")
    assert "No round of this workload" in estimated(browser, **{"workload.synthetic.num_parameters": "11"})


@pytest.mark.parametrize("change", [{"workload": "nonsense"}, {"rounds": "x", "cohort_size": "y"}, {"round_unit": "z"}])
def test_what_cannot_be_is_estimated_without_a_word(browser: Browser, running: TrainingSession, change: Any) -> None:
    assert "Estimate" in estimated(browser, **change)


# ---- who would take part


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"quorum": "2"}, "Round 1 opens at once with 3 clients."),
        ({"cohort_size": "2", "quorum": "1"}, "2 clients are drawn of the 3 online, anew for every round."),
        ({"cohort_size": "1", "quorum": "3"}, "Round 1 waits: 3 clients are needed and 1 can be asked now."),
        ({"quorum": "5"}, "The quorum of 5 cannot be reached: 3 clients are enrolled."),
        ({"quorum": "1", "client_tags": "gpu"}, "No client carries the tag gpu."),
        ({"cohort_size": "x", "quorum": ""}, "Round 1 opens at once with 3 clients."),
        ({"cohort_size": "-2", "quorum": "-5"}, "Round 1 opens at once with 3 clients."),
        (
            {"schedule": "over_selected", "schedule.over_selected.extra": "0", "quorum": "2", "cohort_size": "1"},
            "2 clients are drawn of the 3 online, anew for every round.",
        ),
        ({"schedule": "over_selected", "quorum": "2"}, "Round 1 opens at once with 3 clients."),
        ({"schedule": "buffered", "quorum": "9"}, "Round 1 opens at once with 3 clients."),
        ({"schedule": "nonsense", "quorum": "2"}, "Round 1 opens at once with 3 clients."),
    ],
)
def test_it_says_who_would_take_part(browser: Browser, enrol: Enrol, query: dict[str, str], sentence: str) -> None:
    enrol("anna", "ben", "carl")
    page = compact(browser.get(reverse("session_who"), query, headers=HTMX).content.decode())
    assert sentence in page
    assert ("anna" in page) is ("client_tags" not in query)


def test_it_counts_nobody_who_told_that_it_cannot(browser: Browser, enrol: Enrol) -> None:
    enrol("anna", "ben")
    clients.tell(Client.objects.get(name="ben"), {"workloads": {"digits": "sha256:other"}}, now=timezone.now())
    typed = {"quorum": "1", "workload": "digits"}
    page = browser.get(reverse("session_who"), typed, headers=HTMX).content.decode()
    assert "Round 1 opens at once with 1 client." in page
    assert "Not asked: ben (it reported another version of the workload)." in page
    page = browser.get(reverse("session_who"), typed | {"workload": "synthetic"}, headers=HTMX).content.decode()
    assert "Round 1 opens at once with 2 clients." in page and "Not asked" not in page


def test_it_shows_which_labels_those_have_that_can_be_asked(browser: Browser, enrol: Enrol) -> None:
    enrol("anna", "ben", "carl")

    def page(**typed: str) -> str:
        return compact(browser.get(reverse("session_who"), {"quorum": "1"} | typed, headers=HTMX).content.decode())

    assert "Labels by client" not in page()
    for name, tags, histogram in (("anna", ["ward"], {"cat": 90, "dog": 10}), ("ben", [], {"cat": 1, "dog": 7})):
        Client.objects.filter(name=name).update(tags=tags, info={"label_histogram": histogram})
    both = page()
    assert "Labels by client" in both and "anna, cat: 90 of 100" in both and "ben, dog: 7 of 8" in both
    assert "Furthest from the mix of the others" in both
    one = page(client_tags="ward")
    assert "anna, cat: 90 of 100" in one and "ben, dog" not in one
    of_options = page(workload="images")
    assert "the options of images say which labels there are" in of_options and "anna, cat" not in of_options


def test_it_says_that_busy_clients_have_to_become_free(browser: Browser, running: TrainingSession) -> None:
    page = browser.get(reverse("session_who"), {"quorum": "1"}, headers=HTMX).content.decode()
    assert "Round 1 opens once the 3 busy clients are free." in page
    assert "offered work, first" in page


def test_without_clients_it_says_where_to_invite_one(browser: Browser) -> None:
    page = browser.get(reverse("session_who"), headers=HTMX).content.decode()
    assert "No client is enrolled." in page
