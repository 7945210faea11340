"""The first account: made once, with the code that the server printed, while there is no account."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from federation.errors import Conflict, Forbidden
from federation.services import first_account
from tests.federation.cast import at_once

pytestmark = pytest.mark.django_db


def make(code, now, name="mara"):
    return first_account.create(code, username=name, password="correct-horse", now=now)


def test_the_code_makes_one_account_that_may_do_everything(now):
    user = make(first_account.offer(now=now), now)
    assert user.is_superuser and user.is_staff and user.check_password("correct-horse")


def test_the_code_is_valid_once(now):
    code = first_account.offer(now=now)
    make(code, now)
    with pytest.raises(Conflict):
        make(code, now, "nora")
    User.objects.all().delete()
    with pytest.raises(Forbidden, match="not valid"):
        make(code, now, "nora")
    assert not User.objects.exists()


def test_another_code_is_refused(now):
    first_account.offer(now=now)
    for code in ("", "x", "é" * 100):
        with pytest.raises(Forbidden, match="not valid"):
            make(code, now)


def test_the_code_expires(now):
    code = first_account.offer(now=now)
    with pytest.raises(Forbidden, match="expired"):
        make(code, now + timedelta(days=1))
    assert make(code, now + timedelta(hours=23))


def test_a_new_code_makes_the_one_before_void(now):
    first = first_account.offer(now=now)
    first_account.offer(now=now)
    with pytest.raises(Forbidden):
        make(first, now)


def test_where_there_is_an_account_no_code_is_offered(alice, now):
    assert first_account.offer(now=now) is None


@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_it_at_the_same_time_one_gets_an_account(now):
    code = first_account.offer(now=now)
    results = at_once(*[lambda n=n: make(code, now, f"user{n}") for n in range(3)])
    assert sorted(type(one).__name__ for one in results) == ["Conflict", "Conflict", "User"]
    assert User.objects.count() == 1
