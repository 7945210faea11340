import os

# Aggregation has threads of its own, whose products are too small for more. Read when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from flsite.celery import app  # noqa: E402

__all__ = ("app",)
