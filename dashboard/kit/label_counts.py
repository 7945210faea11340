"""How many examples of each label clients have, as far as their sites share it: a preview of how data are divided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats
from dashboard.kit.heat import MOST_CLIENTS, Cell, Heat, HeatRow, level
from federation.fl.workloads import WORKLOADS
from federation.models import Client
from federation.services import info as infos
from federation.services.info import Info

MOST_LABELS = 20  # columns; the rarest share the last one
APART = 0.2  # of its examples that a client would have to exchange for the mix of all, to be named


def of(clients: Sequence[Client], workload: str, *, is_ahead: bool, most: int = MOST_CLIENTS) -> Heat:
    """Examples of each label by client, shaded by the share within the client. clients: by their ordinals.

    is_ahead: of clients that could be asked, before any was. most: rows. Where only a session's options say which
    labels there are, agents do not count them.
    """
    if getattr(WORKLOADS.get(workload), "is_read_by_options", False):
        return Heat([], [HeatRow(client) for client in clients[:most]], is_ahead=is_ahead, is_uncounted=True)
    told = {client.pk: infos.of(client.info) for client in clients}
    others = {pk for pk, info in told.items() if _is_of_another(info, workload)}
    counted = {pk: found for pk, info in told.items() if pk not in others and (found := _histogram(info))}
    whole: Counter[str] = Counter()
    for found in counted.values():
        whole.update(found)
    heads = _heads(whole)
    first = sorted(clients, key=lambda client: client.pk not in counted)  # those that share; their order stays
    rows = [
        HeatRow(client, _label_cells(client, counted.get(client.pk), heads), client.pk in others)
        for client in first[:most]
    ]
    rows.sort(key=lambda row: row.client.ordinal)
    foot = _furthest(clients, counted, whole)
    return Heat(heads, rows, max(0, len(clients) - most), foot, is_ahead=is_ahead)


def _is_of_another(info: Info, workload: str) -> bool:
    """Whether a client counted its labels for other workloads. Agents of version 0.1.0 do not say for which."""
    return bool(info.label_histogram) and info.examples is not None and workload not in info.examples


def _histogram(info: Info) -> Counter[str] | None:
    found = info.label_histogram
    return Counter(found) if found and sum(found.values()) else None


def _heads(whole: Counter[str]) -> list[str]:
    if len(whole) <= MOST_LABELS:
        return list(whole)
    return [*(label for label, _ in whole.most_common(MOST_LABELS - 1)), "others"]


def _label_cells(client: Client, found: Counter[str] | None, heads: Sequence[str]) -> list[Cell | None]:
    if found is None:
        return []
    whole = sum(found.values())
    named = {label: found[label] for label in heads if label in found}
    if heads[-1] == "others" and "others" not in found:
        named["others"] = whole - sum(named.values())
    largest = 0.5  # of its examples: the darkest, so that maps of several sessions are read alike
    return [
        Cell(
            formats.number(n := named.get(label, 0)),
            f"{client.name}, {label}: {formats.number(n)} of {formats.number(whole)}, {formats.share(n / whole)}",
            level(n / whole / largest),
        )
        for label in heads
    ]


def _furthest(clients: Sequence[Client], counted: dict[int, Counter[str]], whole: Counter[str]) -> SafeString | str:
    """The client whose mix is furthest from that of the others, by total variation distance, and in what."""
    if len(counted) < 2:
        return ""
    found = [
        (*_apart(counted[client.pk], whole - counted[client.pk]), client) for client in clients if client.pk in counted
    ]
    apart, label, own, others, client = max(found, key=lambda one: one[0])
    if apart < APART:
        return "The mixes of labels are alike."
    return format_html(
        "Furthest from the mix of the others: <strong>{}</strong> ({}: {}, {} elsewhere).",
        client.name, label, formats.share(own), formats.share(others),
    )  # fmt: skip


def _apart(own: Counter[str], others: Counter[str]) -> tuple[float, str, float, float]:
    """The distance, and the label that makes most of it with its two shares."""
    here, there = sum(own.values()), max(1, sum(others.values()))
    shares = {label: (own[label] / here, others[label] / there) for label in own | others}
    label = max(shares, key=lambda one: abs(shares[one][0] - shares[one][1]))
    return sum(abs(a - b) for a, b in shares.values()) / 2, label, *shares[label]
