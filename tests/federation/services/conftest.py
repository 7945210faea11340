import pytest

from federation.services import rounds
from tests.federation.cast import send


@pytest.fixture
def closed(open_round, now):
    """A round that is to be aggregated, of anna and ben, who have reported."""

    def closed(**change):
        round_ = open_round("anna", "ben", **change)
        send("anna", now=now, value=0.0, num_examples="10")
        send("ben", now=now, value=1.0, num_examples="30")
        assert rounds.close(round_, now=now)
        round_.refresh_from_db()
        return round_

    return closed
