"""Training sessions: checked, created, steered, run again, deleted."""

from federation.services.sessions.checking import check, problems, with_declaration
from federation.services.sessions.creating import create, spec_of
from federation.services.sessions.deleting import delete, refuse_where_kept
from federation.services.sessions.evaluating import Evaluation, create_evaluation, evaluate
from federation.services.sessions.repeating import again, another, further, go_on, lost_its_upload, next_name
from federation.services.sessions.steering import add_rounds, cancel, pause, resume, start

__all__ = [
    "Evaluation",
    "add_rounds",
    "again",
    "another",
    "cancel",
    "check",
    "create",
    "create_evaluation",
    "delete",
    "evaluate",
    "further",
    "go_on",
    "lost_its_upload",
    "next_name",
    "pause",
    "problems",
    "refuse_where_kept",
    "resume",
    "spec_of",
    "start",
    "with_declaration",
]
