"""The pieces of which every page is made: icons, states, client names, numbers, times."""

from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats, protection, times
from dashboard.kit.statuses import Word
from federation.models import Client, GlobalModel

register = template.Library()
COLOURS = 20


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    classes = f"icon {classes}".strip()
    return format_html(
        '<svg class="{}" aria-hidden="true"><use href="{}#{}"/></svg>', classes, static("icons.svg"), name
    )


@register.simple_tag
def word_icon(word: Word, classes: str = "") -> SafeString:
    return icon(word.icon, f"{classes} tone-{word.tone}".strip())


@register.simple_tag
def badge(word: Word) -> SafeString:
    """A state in a head."""
    return format_html('<span class="badge tone-{}">{}{}</span>', word.tone, icon(word.icon), word.text)


@register.simple_tag
def status(word: Word) -> SafeString:
    """A state in a row."""
    return format_html('<span class="status tone-{}">{}{}</span>', word.tone, icon(word.icon), word.text)


@register.simple_tag
def client(client: Client) -> SafeString:
    """A client's name with a piece of its line: its colour is its own everywhere, 11 to 20 are dashed."""
    dash = format_html(' stroke-dasharray="{}"', "5 3") if 10 < client.ordinal <= COLOURS else ""
    return format_html(
        '<span class="client"><svg class="{}" viewBox="0 0 14 14" aria-hidden="true">'
        '<line x1="0" x2="14" y1="7" y2="7"{}/></svg><span class="client__name">{}</span></span>',
        colour(client),
        dash,
        client.name,
    )


@register.filter
def colour(client: Client) -> str:
    """The class that carries a client's colour."""
    return f"c{client.ordinal}" if client.ordinal <= COLOURS else "c-rest"


# ---- times


for tag in (times.clock, times.date, times.ago, times.since, times.left):
    register.simple_tag(tag)


# ---- numbers


@register.filter
def flags(found: object, round_number: int) -> str:
    """What was odd about an update that was to count in this round, in sentences."""
    return protection.beside_reason(found, round_number)


@register.filter
def number(value: float | None) -> str:
    return "–" if value is None else formats.number(value)


@register.filter
def duration(value: Any) -> str:
    return "–" if value is None else formats.duration(value)


@register.filter
def minutes(seconds: float) -> str:
    return formats.minutes(seconds)


@register.filter
def size(num_bytes: int | None) -> SafeString:
    if num_bytes is None:
        return SafeString("–")
    value, unit = formats.size(num_bytes)
    return format_html('{} <span class="unit">{}</span>', value, unit)


@register.filter
def metric(value: float | None) -> str:
    return "–" if value is None else formats.metric(value)


@register.filter
def count(value: int, noun: str) -> str:
    """{{ 3|count:"client" }}: 3 clients."""
    return formats.count(value, noun)


@register.filter
def percent(fraction: float) -> str:
    """For SVG attributes: 38.46%."""
    return f"{100 * fraction:.2f}%"


@register.filter
def share(fraction: float) -> str:
    """For people: 38 %."""
    return formats.share(fraction)


@register.filter
def part_of(value: float, whole: float) -> float:
    return value / whole if whole else 0.0


@register.filter
def metric_or_dash(value: float | None) -> str:
    """With a minus that is as wide as a digit."""
    return "–" if value is None else formats.metric(value).replace("-", "−")


@register.filter
def filename(model: GlobalModel) -> str:
    """What the server calls a model's file, without the end: a name that the browser cannot change."""
    return f"model-{model.digest[:12]}"


@register.filter
def short(digest: str) -> str:
    return digest[:8]


@register.filter
def spaced(name: str) -> str:
    """learning_rate: Learning rate."""
    return formats.spaced(name)


@register.filter
def setting(value: object) -> str:
    """True: yes."""
    return formats.setting(value)


@register.filter
def signed(change: float) -> str:
    """+0.009, with a minus that is as wide as the plus."""
    return f"{change:+.3f}".replace("-", "−")


@register.filter
def clocked(seconds: float) -> str:
    """3:12."""
    return formats.clock(seconds)


@register.filter(name="times")
def multiplied(value: int, factor: int) -> int:
    return value * factor
