"""An agent in this process, with the state folder of a site."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from clientagent.agent import Agent, means_of_its_own
from clientagent.data import SiteData
from clientagent.display import Lines
from clientagent.identity import identify, open_state
from clientagent.settings import Settings
from tests.clientagent.fake_server import CODE, FakeServer


@dataclass
class Site:
    """An agent's surroundings: its server and its state folder."""

    server: FakeServer
    folder: Path
    out: io.StringIO = field(default_factory=io.StringIO)

    @property
    def settings(self) -> Settings:
        return Settings(server=self.server.url, join_code=CODE, name="site-a", state=self.folder, once=True,
                        workload="synthetic")  # fmt: skip

    @property
    def said(self) -> str:
        return self.out.getvalue()

    def run(self, **changes: object) -> str:
        """Be an agent for one piece of work. Returns what it said; raises what ended it."""
        errors: list[BaseException] = []

        def target() -> None:
            try:
                self._run(replace(self.settings, **changes), threading.Event())  # type: ignore[arg-type]
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive(), f"the agent did not end; it said {self.said}"
        if errors:
            raise errors[0]
        return self.said

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """An agent that works until the end of the block."""
        leaving = threading.Event()
        thread = threading.Thread(target=self._run, args=(replace(self.settings, once=False), leaving), daemon=True)
        thread.start()
        try:
            yield
        finally:
            leaving.set()
            self.server.end_polls()
            thread.join(10)
        assert not thread.is_alive(), f"the agent did not leave; it said {self.said}"

    def _run(self, settings: Settings, leaving: threading.Event) -> None:
        data = SiteData(settings)
        state = open_state(settings)
        try:
            identity = identify(settings, state)
            terminal = Lines(self.out)
            means = means_of_its_own(settings, state, identity, data, terminal)
            Agent(settings, state, identity, data, terminal, leaving, means).run()
        finally:
            state.close()
