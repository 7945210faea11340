"""What the server knows. Rules are in `lifecycle` and `services`; the constraints of the tables back them up.

One file a subject; import from here.
"""

from federation import lookups  # noqa: F401  it adds `among` to the words of a query
from federation.models.accounts import ApiKey, SignIn
from federation.models.alerts import Alert, AlertRule, Delivery
from federation.models.clients import Client, ClientLog, ClientQuerySet, Invitation, ServedWorkload
from federation.models.logs import STEERING, Event, LogEntry, Server, ServerEvent
from federation.models.rounds import Metric, Participation, Phase, Round
from federation.models.sessions import (
    GlobalModel,
    GlobalModelQuerySet,
    ModelTag,
    ModelUpload,
    NoiseKey,
    SessionQuerySet,
    TrainingSession,
)

__all__ = [
    "STEERING",
    "Alert",
    "AlertRule",
    "ApiKey",
    "Client",
    "ClientLog",
    "ClientQuerySet",
    "Delivery",
    "Event",
    "GlobalModel",
    "GlobalModelQuerySet",
    "Invitation",
    "LogEntry",
    "Metric",
    "ModelTag",
    "ModelUpload",
    "NoiseKey",
    "Participation",
    "Phase",
    "Round",
    "ServedWorkload",
    "Server",
    "ServerEvent",
    "SessionQuerySet",
    "SignIn",
    "TrainingSession",
]
