"""Clients: they enrol, report what they are, are seen, leave, are disabled and removed."""

from federation.services.clients.agent_log import add_to_log
from federation.services.clients.enrolling import enroll
from federation.services.clients.hearing import heard
from federation.services.clients.managing import remove, set_enabled, set_tags
from federation.services.clients.presence import announce_offline, authenticate, find, leave, touch
from federation.services.clients.telling import tell

__all__ = [
    "add_to_log",
    "announce_offline",
    "authenticate",
    "enroll",
    "find",
    "heard",
    "leave",
    "remove",
    "set_enabled",
    "set_tags",
    "tell",
    "touch",
]
