"""What went wrong in a script, in words."""

from __future__ import annotations

import os
import traceback


def sentence(error: BaseException, file: str = "") -> str:
    """What went wrong in a script, and in which line. file: the script's, whose line counts if it is on the way."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not file or frame.filename == file] or frames
    where = f" ({os.path.basename(theirs[-1].filename)}, line {theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {error}{where}"
