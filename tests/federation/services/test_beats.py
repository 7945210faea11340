"""One of several beats leads, by whatever order they ask and whichever of them die."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.models import Server
from federation.services.beats import RENEW_SECONDS, SILENT_SECONDS, Candidate

pytestmark = pytest.mark.django_db


def test_the_first_that_asks_leads_and_goes_on_leading():
    first, second = Candidate("first"), Candidate("second")
    seconds = [float(n) for n in range(20)]
    assert [(first.leads(at), second.leads(at + 0.5)) for at in seconds] == [(True, False)] * 20


def test_another_leads_after_the_silence_of_the_first():
    first, second = Candidate("first"), Candidate("second")
    assert first.leads(0)
    led = [at for at in range(20) if second.leads(1000.0 + at)]  # by a clock of its own
    assert led[0] == SILENT_SECONDS and led == list(range(led[0], 20))


def test_one_that_comes_back_after_its_silence_leads_no_more():
    first, second = Candidate("first"), Candidate("second")
    assert first.leads(0)
    assert any([second.leads(float(at)) for at in range(8)])
    assert not first.leads(9) and second.leads(9)


def test_one_that_resigns_is_followed_at_once():
    first, second = Candidate("first"), Candidate("second")
    assert first.leads(0) and not second.leads(0)
    first.resign()
    assert second.leads(RENEW_SECONDS) and not first.leads(RENEW_SECONDS)
    first.resign()  # no longer its own to give up
    assert second.leads(2 * RENEW_SECONDS)


def test_it_asks_the_database_once_a_second(django_assert_num_queries):
    first = Candidate("first")
    assert first.leads(0)
    with django_assert_num_queries(1):
        assert all([first.leads(0.5), first.leads(0.9), first.leads(1.0), first.leads(1.5)])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asks=st.lists(st.tuples(st.integers(0, 2), st.floats(0, 3)), max_size=60))
def test_never_do_two_lead_of_which_both_asked_since(asks):
    """Of all that looked at the database since the last change, at most one leads."""
    Server.objects.all().delete()
    beats, at = [Candidate(str(n)) for n in range(3)], 0.0
    for which, pause in asks:
        at += pause
        beats[which]._looked = float("-inf")
        if beats[which].leads(at):
            assert Server.objects.get().beat == beats[which].name
