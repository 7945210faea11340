"""Named moments at which a test kills this process, to show that nothing is lost.

Inert unless FL_KILL_FILE names a file. Whoever then reaches the point whose name stands in that file takes
the file away and dies by SIGKILL: as a power cut would end it, with nothing flushed and nothing tidied up.
"the point:3" lets it pass twice.
"""

import os
import signal
import threading
from enum import StrEnum
from pathlib import Path


class Point(StrEnum):
    # the server
    STARTING = "server starting"
    LEASES_FREED = "server started, worker not yet"
    INITIAL_STORED = "initial model stored, not published"
    PART_HALF_WRITTEN = "server in the middle of a part of an upload"
    UPDATE_STORED = "update stored, not accepted"
    UPDATE_ACCEPTED = "update accepted, advance not called"
    ANSWER_LOST = "upload complete, answer lost"
    DOWNLOAD_HALF_SENT = "server in the middle of a download"
    METRICS_HALF_WRITTEN = "metrics half written"
    EVENT_WRITTEN = "event recorded, not committed"
    EVENT_COMMITTED = "event committed"
    AGGREGATION_CLAIMED = "aggregation claimed"
    HALF_AGGREGATED = "half aggregated"
    AGGREGATED = "aggregated, not published"
    PUBLISHED = "published, next round not opened"
    # the agent
    ENROLLED = "enrolled, not noted"
    DOWNLOAD_HALF_READ = "agent in the middle of a download"
    TRAINING = "in the middle of training"
    TRAINED = "trained, update not kept"
    UPDATE_KEPT = "update kept, not sent"
    PART_HALF_SENT = "agent in the middle of a part of an upload"
    EVALUATING = "in the middle of an evaluation"
    RESULT_KEPT = "result kept, not sent"
    INITIAL_KEPT = "initial model made at a site, not sent"
    REPORTED = "between report and next work"
    # those who look after the server
    GIVEN_UP = "files given up, not deleted"
    BACKUP_HALF_WRITTEN = "in the middle of a backup"
    HALF_RESTORED = "weight files restored, database not"


_file = Path(os.environ["FL_KILL_FILE"]) if os.environ.get("FL_KILL_FILE") else None
_lock = threading.Lock()


def reached(point: Point) -> None:
    """Die here if a test says so."""
    if _file is not None:
        with _lock:
            _look(_file, point)


def _look(file: Path, point: Point) -> None:
    try:
        name, _, count = file.read_text().partition(":")
    except FileNotFoundError:
        return
    if name != point:
        return
    if int(count or 1) > 1:
        file.write_text(f"{name}:{int(count) - 1}")
        return
    file.unlink()
    os.kill(os.getpid(), signal.SIGKILL)
