"""How property tests run: the same examples each time, as many as the machines of everybody bear."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

PROPERTY = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

odd_numbers = st.sampled_from(
    [0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**18, 10**400, -0.0, 0.5, 5e-324, 1e308, -1e308]
)
odd_texts = st.sampled_from(
    ["", "\x00", "\ud800", "=1+1", "9" * 400, "NaN", "inf", "1e400", "²", "١", "\u202eabc", "💡" * 20, "<b>", "None"]
)
scalars = st.none() | st.booleans() | st.integers() | odd_numbers | st.floats() | st.text(max_size=20) | odd_texts


def json_values(max_leaves: int = 20) -> st.SearchStrategy[Any]:
    """Whatever our parser reads as JSON, and a little more."""
    return st.recursive(
        scalars,
        lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=8), deeper, max_size=3),
        max_leaves=max_leaves,
    )
