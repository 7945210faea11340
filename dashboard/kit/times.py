"""Times as elements. The server writes UTC; static/js/times.js rewrites them in the viewer's zone and updates them."""

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats


def clock(moment: datetime | None) -> SafeString:
    """10:54:30."""
    if moment is None:
        return SafeString("–")
    return format_html('<time datetime="{}" data-time="clock">{}</time>', moment.isoformat(), f"{moment:%H:%M:%S}")


def date(moment: datetime | None) -> SafeString:
    """12 Jan, 10:54."""
    if moment is None:
        return SafeString("–")
    return format_html('<time datetime="{}" data-time="date">{}</time>', moment.isoformat(), f"{moment:%d %b, %H:%M}")


def ago(moment: datetime | None) -> SafeString:
    """3 min ago."""
    if moment is None:
        return SafeString("never")
    text = formats.minutes((timezone.now() - moment).total_seconds())
    return format_html('<time datetime="{}" data-time="ago">{} ago</time>', moment.isoformat(), text)


def since(moment: datetime) -> SafeString:
    """3 min 12 s, growing."""
    text = formats.duration(timezone.now() - moment)
    return format_html('<time datetime="{}" data-time="since">{}</time>', moment.isoformat(), text)


def left(moment: datetime) -> SafeString:
    """3 min 12 s, shrinking."""
    seconds = max(0, round((moment - timezone.now()).total_seconds()))
    return format_html('<time datetime="{}" data-time="left">{}</time>', moment.isoformat(), formats.span(seconds))
