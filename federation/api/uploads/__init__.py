"""`/api/v1/participations/<id>/update`: one PUT for a small update, tus 1.0 parts for any other.

Parts go straight to a file, so that memory depends neither on the model nor on the number of clients. Where
an upload stands is a number in the database, moved after each part; the file may be longer where a process
was killed, and is cut back to the number. The last part is counted only once the whole update is accepted.
"""

from federation.api.uploads.parts import create, head, options, patch
from federation.api.uploads.whole import put

__all__ = [
    "create",
    "head",
    "options",
    "patch",
    "put",
]
