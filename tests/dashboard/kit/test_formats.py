"""Numbers, durations and lists, as one would say them."""

from datetime import timedelta

import pytest

from dashboard.kit import formats


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0004, "0 ms"),
        (0.042, "42 ms"),
        (0.5, "0.5 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (61, "1 min 1 s"),
        (3600, "1 h 0 min"),
    ],
)
def test_durations_are_said_as_one_would_say_them(value: float, said: str) -> None:
    assert formats.duration(value) == formats.duration(timedelta(seconds=value)) == said


@pytest.mark.parametrize(
    ("num_bytes", "said"), [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (28_400_000, "28.4 MB"), (2.33e9, "2.33 GB")]
)
def test_sizes_carry_their_unit(num_bytes: float, said: str) -> None:
    assert " ".join(formats.size(num_bytes)) == said


@pytest.mark.parametrize(("value", "said"), [(True, "yes"), (False, "no"), (1, "1"), (0.1, "0.1"), ("mnist", "mnist")])
def test_settings_are_written_as_one_would_write_them(value: object, said: str) -> None:
    assert formats.setting(value) == said


def test_lists_name_a_few_and_count_the_rest() -> None:
    assert formats.listed([]) == ""
    assert formats.listed(["a"]) == "a"
    assert formats.listed(["a", "b", "c"]) == "a, b and c"
    assert formats.listed(list("abcdef")) == "a, b, c and 3 more"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.4181, "0.418"),
        (0.0, "0.000"),
        (0.00012, "1.20e-4"),
        (4321.5, "4322"),
        (123456.0, "1.23e5"),
        (None, "not finite"),
    ],
)
def test_metrics_keep_what_matters(value: float | None, said: str) -> None:
    assert formats.metric(value) == said
