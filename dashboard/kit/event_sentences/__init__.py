"""Events in words: names first, one fact and what follows from it. A file for each thing that events are about."""

from dashboard.kit.event_sentences.clients import changes
from dashboard.kit.event_sentences.lines import PROBLEMS, SAYINGS, Line, line, lines

__all__ = ["PROBLEMS", "SAYINGS", "Line", "changes", "line", "lines"]
