"""Runs a `ClientApp` of Flower: `run.py --flower-app MODULE:NAME`.

`door` imports flwr, `project` finds the app, `configuring` maps its config to a session's settings, `records` and
`dialects` translate models and answers, `calling` calls the app, `beginning` makes version 0, `hosting` does the work.
"""

from clientagent.hosts.flower.hosting import run

__all__ = ["run"]
