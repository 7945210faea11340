"""Runs a Client-API script of NVFlare: `run.py --nvflare-script FILE`.

`door` imports nvflare and puts an engine into the slot where its Client API looks for one. `slot` is that engine: the
script's calls ask it for work and answer it. `source` reads what the script's text tells, `points` makes curves of
what it logs, and `hosting` runs it.
"""

from clientagent.hosts.nvflare.hosting import run

__all__ = ["run"]
