"""The registry of models, and one model."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.kit import charts
from dashboard.pages.models import finding, lineage
from federation import tags
from federation.errors import Conflict
from federation.models import GlobalModel, ModelTag, TrainingSession
from federation.services import models, sessions
from tests.dashboard.cast import HTMX, Create, model
from tests.dashboard.haunted import ODD


def test_models_are_filtered_and_sorted(trained: TrainingSession, browser: Browser) -> None:
    assert [one.version for one in finding.found(sort="accuracy")] == [1, 0, 2]
    assert [one.version for one in finding.found(sort="loss")] == [1, 0, 2]
    assert not finding.found(query="nothing") and not finding.found(workload="digits")
    assert finding.best("synthetic")["accuracy"].version == 1
    page = browser.get(reverse("model_rows"), {"workload": "synthetic"}).content.decode()
    assert "Best of synthetic" in page
    assert "Best of synthetic" in browser.get(reverse("models")).content.decode(), "the only workload, unasked"
    assert "No model fits" in browser.get(reverse("models"), {"q": "nothing"}).content.decode()


def test_what_is_no_number_is_none_to_the_database_too(trained: TrainingSession) -> None:
    odd_ones = [*ODD, 2**63, -(2**63), 1e30, 1.1e30, -1.1e30, 5e-324]
    told = [({"loss": odd, "accuracy": odd}, odd if isinstance(odd, list) else [odd], {}) for odd in odd_ones]
    for odd, metrics in ((odd, metrics) for odd, several in zip(odd_ones, told, strict=True) for metrics in several):
        trained.models.filter(version=2).update(metrics=metrics, federated_metrics={"accuracy": odd})
        for name in ("accuracy", "loss"):
            for one in finding.found(sort=name):
                assert one.measured_value == pytest.approx(charts.value(one, name)), (one.version, name, metrics)


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


def test_the_snippet_loads_a_model_of_which_only_some_tensors_are_shared(
    browser: Browser, trained: TrainingSession
) -> None:
    torch = pytest.importorskip("torch")
    page = browser.get(reverse("model", args=[trained.last_model().pk])).content.decode()
    (call,) = re.findall(r"<code>(network\.load_state_dict\(.*?\))</code>", page)
    network = torch.nn.ModuleDict({"body": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 1)})
    kept = network["head"].weight.clone()
    weights = {"body.weight": torch.ones(2, 2), "body.bias": torch.zeros(2)}
    eval(call, {"network": network, "weights": weights})
    assert torch.equal(network["body"].weight, torch.ones(2, 2)) and torch.equal(network["head"].weight, kept)
