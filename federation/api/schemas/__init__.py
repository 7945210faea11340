"""What goes over the wire as JSON. Requests refuse members they don't know."""

from federation.api.schemas.agents import Enrolled, Enrolment, Failure, LogLines, Progress, Telling, Told
from federation.api.schemas.common import Empty, Page, Paging
from federation.api.schemas.operators import (
    ClientChange,
    ClientOut,
    EventOut,
    Extension,
    Invited,
    MetricOut,
    MetricPaging,
    ModelOut,
    NewInvitation,
    NewSession,
    Reissue,
    RoundOut,
    SessionOut,
    Skip,
)

__all__ = [
    "ClientChange",
    "ClientOut",
    "Empty",
    "Enrolled",
    "Enrolment",
    "EventOut",
    "Extension",
    "Failure",
    "Invited",
    "LogLines",
    "MetricOut",
    "MetricPaging",
    "ModelOut",
    "NewInvitation",
    "NewSession",
    "Page",
    "Paging",
    "Progress",
    "Reissue",
    "RoundOut",
    "SessionOut",
    "Skip",
    "Telling",
    "Told",
]
