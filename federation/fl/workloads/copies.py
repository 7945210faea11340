"""Copies of one example among a site's data, and what its owner should know of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

MOST_NOTES = 3  # of one kind


def notes(
    places: Sequence[str], contents: Sequence[str], labels: Sequence[Hashable], groups: Sequence[str], noun: str
) -> tuple[str, ...]:
    """What a site's owner should know of copies, in sentences that name the places of the first ones.

    places: where each example is. contents: equal for copies. groups: empty where an example has none. Copies without
    a group are on the same side of the held-out part; those of different groups may be on both, so they are named.
    """
    first: dict[str, int] = {}
    copied = 0
    contradictions: list[str] = []
    shared: list[str] = []
    for number, content in enumerate(contents):
        before = first.setdefault(content, number)
        if before == number:
            continue
        copied += 1
        if labels[before] != labels[number]:
            contradictions.append(f"{places[before]} and {places[number]} are the same {noun}, with different labels.")
        if groups[before] != groups[number]:
            shared.append(
                f"{places[before]} and {places[number]} are the same {noun} in different groups: "
                "a model may be measured on one and trained on the other."
            )
    are = "is a copy of another" if copied == 1 else "are copies of others"
    said = [f"{copied} of {len(contents)} {noun}s {are}."]
    return (*(said if copied else ()), *_shortened(contradictions), *_shortened(shared))


def _shortened(sentences: Sequence[str]) -> Sequence[str]:
    more = len(sentences) - MOST_NOTES
    return sentences if more <= 0 else [*sentences[:MOST_NOTES], f"The same is so {more} times more."]
