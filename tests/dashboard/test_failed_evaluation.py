"""A model whose evaluation failed is never said to have no test set."""

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation.models import GlobalModel, TrainingSession
from federation.services import models

pytestmark = pytest.mark.django_db
WHY = "The test set gave no usable number for loss: the model has diverged."


@pytest.fixture
def model(running: TrainingSession) -> GlobalModel:
    model = running.last_model()
    GlobalModel.objects.filter(pk=model.pk).update(evaluated_at=None, federated_metrics={"accuracy": 0.5})
    models.record_evaluation(model.pk, {"loss": float("nan")}, now=timezone.now())
    return model


def test_the_pages_of_session_and_model_say_why(browser: Browser, model: GlobalModel):
    for name, of in (("session_history", model.session_id), ("model", model.pk)):
        page = browser.get(reverse(name, args=[of])).content.decode()
        assert WHY in page and "no central test set" not in page
