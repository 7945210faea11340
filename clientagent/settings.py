"""The site's settings of its agent, from flags and environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clientagent.policy import Allowance
from federation.fl import names

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class Settings:
    """None means: not given."""

    server: str | None = None
    join_code: str | None = None
    name: str | None = None
    state: Path | None = None
    data: Path | None = None  # where workloads look for data files of the site
    workloads: Path | None = None  # a folder of workload files
    allow: tuple[Allowance, ...] = ()  # workloads that it serves from now on
    model_cache: Path | None = None  # shared by agents on one machine; None: in the state folder
    samples: int | None = None  # at most so many of its examples
    partition: str | None = None  # with `shard`: a part of a data set that several agents share
    shard: str | None = None  # 2/4: the second of four
    partition_seed: int = 0
    validation_samples: int | None = None  # held out of training; None: a fifth
    validation: Path | None = None  # held-out examples of their own
    max_epochs: int | None = None
    max_seconds: int | None = None  # of one piece of work
    max_memory: int | None = None  # MB of this process
    batch_size: int | None = None  # instead of a session's
    device: str = "auto"
    threads: int | None = None  # None: one, and in a script as many as its libraries choose
    workload: str = "digits"  # whose data are counted at enrolment
    share_histogram: bool = False  # how many examples each label has, and the fingerprint of the data
    hide_resources: bool = False  # what training takes of this machine
    once: bool = False
    take_over: bool = False  # from another agent with the same token
    insecure: bool = False  # plain http:// to a server beyond this machine
    clients: int | None = None  # how many there are in this process; None: one, without a number in its name
    workers: int | None = None  # processes that compute for them; None: one per core
    connections: int = 500  # in which they wait for work
    flower_app: str | None = None  # MODULE:NAME of a ClientApp, or its project's folder
    flower_initial: str | None = None  # MODULE:NAME, or a file
    flower_measures: tuple[str, ...] = ("accuracy", "loss")
    flower_node_config: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    nvflare_script: Path | None = None  # one that uses NVFlare's Client API
    nvflare_name: str | None = None  # the workload's; None: the file's
    nvflare_initial: str | None = None  # MODULE:NAME, or a file
    nvflare_measures: tuple[str, ...] = ()  # none: those that the script's source names
    nvflare_anew: bool = False  # each piece of work in a run of its own
    send_log: bool = False  # its own lines, to be read on the server's page


def line(text: str) -> str:
    """A short text without control characters. Raises ValueError with what is allowed, as `client_name` does."""
    value = " ".join(text.split())
    if not value or len(value) > 64 or not value.isprintable():
        raise ValueError("use 1 to 64 printable characters")
    return value


def client_name(text: str) -> str:
    """As the server takes names, in the form that it keeps; it becomes a folder's name, too."""
    value = line(names.normal(text))
    if not names.is_valid(value):
        raise ValueError("use letters, digits, spaces and . _ @ + -, beginning with a letter or digit")
    return value
