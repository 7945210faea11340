"""What a site's owner allows its training to take, whatever a session asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clientagent import memory, validation
from clientagent.errors import Misconfigured
from clientagent.settings import Settings
from federation.fl.workloads import Report, TrainConfig


@dataclass(frozen=True, slots=True)
class Limits:
    """None: as the session asks. max_seconds: of one piece of work. validation_samples: examples that are held out.

    max_memory: MB of this process. marks_held_out: whether the data say which examples are held out, by `validation`.
    tells_resources: whether the server gets to know what training takes of this machine.
    """

    max_epochs: int | None = None
    max_seconds: int | None = None
    batch_size: int | None = None
    validation_samples: int | None = None
    max_memory: int | None = None
    marks_held_out: bool = False
    tells_resources: bool = True

    def applied(self, config: TrainConfig) -> TrainConfig:
        epochs = config.epochs if self.max_epochs is None else min(config.epochs, self.max_epochs)
        return replace(
            config,
            epochs=epochs,
            batch_size=self.batch_size or config.batch_size,
            max_seconds=self.max_seconds,
            validation_samples=self.validation_samples,
            validation_fraction=validation.FRACTION if self.marks_held_out else config.validation_fraction,
        )

    def watched(self, report: Report) -> Report:
        """What a workload reports to: it ends the work where that needs more memory than is allowed."""
        return report if self.max_memory is None else memory.within(self.max_memory, report)

    @property
    def described(self) -> str:
        """What is done otherwise than sessions ask; empty if nothing is."""
        said = [
            f"at most {self.max_epochs} epochs a round (--max-epochs)" if self.max_epochs else "",
            f"at most {self.max_seconds} s a round (--max-seconds)" if self.max_seconds else "",
            f"with at most {self.max_memory} MB of memory (--max-memory)" if self.max_memory else "",
            f"in batches of {self.batch_size} (--batch-size)" if self.batch_size else "",
        ]
        return f"Whatever a session asks, this site trains {', '.join(filter(None, said))}." if any(said) else ""


def limits_of(settings: Settings) -> Limits:
    """Raises Misconfigured for a limit that cannot be kept on this system."""
    if settings.max_memory is not None and not memory.IS_KNOWN:
        raise Misconfigured("--max-memory works on Linux alone. Start the agent without it.")
    return Limits(
        settings.max_epochs,
        settings.max_seconds,
        settings.batch_size,
        settings.validation_samples,
        settings.max_memory,
        settings.validation is not None,
        not settings.hide_resources,
    )
