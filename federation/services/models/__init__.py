"""Global models: made, measured, described by people, noted where their files are damaged."""

from federation.services.models.evaluation import record_evaluation, request_missing
from federation.services.models.initial import (
    SiteModel,
    Unfit,
    adopt,
    fail_initial,
    lacks_initial,
    publish_from_site,
    publish_initial,
    request_initial,
)
from federation.services.models.notes import MAX_NOTE, note, tag, untag

__all__ = [
    "MAX_NOTE",
    "SiteModel",
    "Unfit",
    "adopt",
    "fail_initial",
    "lacks_initial",
    "note",
    "publish_from_site",
    "publish_initial",
    "record_evaluation",
    "request_initial",
    "request_missing",
    "tag",
    "untag",
]
