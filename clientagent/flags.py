"""The flags of `run.py`: their environment variables, and what is allowed for each."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clientagent.errors import Misconfigured
from clientagent.policy import allowances
from clientagent.settings import DEVICES, Settings, client_name, line
from federation.fl.version import __version__

MAX_THREADS = MAX_WORKERS = 256
MAX_CLIENTS = 10_000
FOR_MANY = ("clients", "workers", "connections")  # flags
NOTHING_SHARED = "no-share-histogram"  # the default since version 0.2.0
MAX_SEED = 2**31 - 1
FOR_FLOWER = ("flower_initial", "flower_measures", "flower_node_config")  # fields
FOR_NVFLARE = ("nvflare_name", "nvflare_initial", "nvflare_measures", "nvflare_anew")
REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
PAIR = re.compile(r"""\s*([\w.-]+)=("[^"]*"|'[^']*'|\S+)""")

Reader = Callable[[str], Any]  # raises ValueError with what is allowed


def server_url(text: str) -> str:
    """The server's origin, without a trailing slash."""
    url = urlsplit(text.rstrip("/"))
    if url.scheme not in ("http", "https") or not url.hostname or url.path or url.query or url.username:
        raise ValueError("use http://HOST:PORT or https://HOST, without a path")
    _ = url.port  # raises ValueError where it is no number
    return f"{url.scheme}://{url.netloc}"


def whole(minimum: int, maximum: int) -> Reader:
    def read(text: str) -> int:
        if not text.isdecimal() or not minimum <= int(text) <= maximum:
            raise ValueError(f"use a whole number from {minimum} to {maximum}")
        return int(text)

    return read


def choice(*allowed: str) -> Reader:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"use one of {', '.join(allowed)}")
        return text

    return read


def switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("use 0 or 1")
    return text == "1"


def folder(text: str) -> Path:
    """A folder that is there or can be made."""
    path = Path(text).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ValueError("use a folder; this is a file")
    return path


def file(text: str) -> Path:
    return Path(text).expanduser().absolute()


def existing_folder(text: str) -> Path:
    path = folder(text)
    if not path.is_dir():
        raise ValueError("use an existing folder")
    return path


def flower_app(text: str) -> str:
    """MODULE:NAME, or the folder of a Flower app."""
    if not REFERENCE.fullmatch(text) and not Path(text).expanduser().is_dir():
        raise ValueError("use MODULE:NAME, such as client_app:app, or the folder of a Flower app")
    return text


def flower_initial(text: str) -> str:
    """MODULE:NAME, or a safetensors file."""
    if not REFERENCE.fullmatch(text) and not Path(text).expanduser().is_file():
        raise ValueError("use MODULE:NAME, such as task:Net, or a safetensors file")
    return text


def pairs(text: str) -> dict[str, bool | int | float | str]:
    """Values by name, as Flower's --node-config takes them: 'partition-id=0 site="north"'."""
    found: dict[str, bool | int | float | str] = {}
    at = 0
    while at < len(text.rstrip()):
        one = PAIR.match(text, at)
        if one is None:
            raise ValueError('use NAME=VALUE, several with spaces between them, and texts in quotes: site="north"')
        found[one[1]] = _toml_value(one[1], one[2])
        at = one.end()
    return found


def _toml_value(name: str, text: str) -> bool | int | float | str:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = None
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f'{name} must be a number, true, false or a text in quotes: {name}="north"')
    return value


def measures(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(name and name.isprintable() and len(name) <= 64 for name in names):
        raise ValueError("use names of 1 to 64 printable characters, with commas between them")
    return names


class Joined(argparse.Action):
    """A flag that may be repeated: its values with commas between them, as in the environment."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, f"{before},{values}" if before else values)


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting: `--name VALUE`, or its environment variable. The flag wins."""

    name: str
    env: str
    read: Reader
    help: str
    metavar: str = ""
    field: str = ""  # of Settings, where it is not the flag's name
    const: str | None = None  # a flag without a value stands for this one

    @property
    def target(self) -> str:
        return self.field or self.name.replace("-", "_")

    @property
    def described(self) -> str:
        return f"{self.help} [{self.env}]"


FLAGS = (
    Flag("server", "FL_SERVER_URL", server_url, "the server's address; kept in the state folder", "URL"),
    Flag("join", "FL_JOIN_CODE", line, "the invitation's code; ignored once the client has joined", "CODE",
         "join_code"),
    Flag("name", "FL_CLIENT_NAME", client_name, "this client's name (default: the machine's)", "NAME"),
    Flag("state", "FL_CLIENT_STATE", folder, "keeps the token and unfinished work (default: by name, in "
         "~/.local/state/fl-agent)", "DIR"),
    Flag("data", "FL_CLIENT_DATA", existing_folder, "the site's data, for workloads that read files", "DIR"),
    Flag("workloads", "FL_CLIENT_WORKLOADS", existing_folder, "workloads of this site, one .py file each", "DIR"),
    Flag("allow", "FL_CLIENT_ALLOW", allowances, "serve this workload, if you like with this source alone; may be "
         "repeated (environment: with commas). Kept in the state folder's policy.toml. Built-in ones are served as "
         "long as none of them is listed", "NAME[@DIGEST]"),
    Flag("model-cache", "FL_CLIENT_MODEL_CACHE", folder, "models shared by agents on one machine", "DIR"),
    Flag("samples", "FL_CLIENT_SAMPLES", whole(1, 10**12), "use at most N of the examples", "N"),
    Flag("partition", "FL_CLIENT_PARTITION", line, "use a part of a shared data set: iid, "
         "dirichlet:0.5, quantity:0.5, shards:2 or slices", "HOW"),
    Flag("shard", "FL_CLIENT_SHARD", line, "which part, 2/4 is the second of four", "I/N"),
    Flag("partition-seed", "FL_CLIENT_PARTITION_SEED", whole(0, MAX_SEED), "the partition's seed (default 0)", "N"),
    Flag("validation-samples", "FL_CLIENT_VALIDATION_SAMPLES", whole(0, 10**12), "hold out N examples, to measure "
         "models on, instead of a fifth", "N"),
    Flag("validation", "FL_CLIENT_VALIDATION", existing_folder, "measure models on the examples in DIR, and train on "
         "all of --data", "DIR"),
    Flag("max-epochs", "FL_CLIENT_MAX_EPOCHS", whole(1, 1000), "train at most N epochs a round", "N"),
    Flag("max-seconds", "FL_CLIENT_MAX_SECONDS", whole(1, 10**7), "train at most N seconds a round; the same work then "
         "no longer gives the same update", "N"),
    Flag("max-memory", "FL_CLIENT_MAX_MEMORY", whole(1, 10**8), "give up work that lets the agent have more than N "
         "MB of memory; on Linux", "N"),
    Flag("batch-size", "FL_CLIENT_BATCH_SIZE", whole(1, 1_000_000), "train with batches of N, whatever a session asks "
         "for", "N"),
    Flag("device", "FL_CLIENT_DEVICE", choice(*DEVICES), f"{', '.join(DEVICES)} (default auto)", "DEVICE"),
    Flag("threads", "FL_CLIENT_THREADS", whole(1, MAX_THREADS), "threads to train with (default 1; in "
         "a script as many as its libraries choose)", "N"),
    Flag("workload", "FL_CLIENT_WORKLOAD", line, "count the data of this workload (default digits)", "NAME"),
    Flag("share-histogram", "FL_CLIENT_SHARE_HISTOGRAM", switch, "report how many examples each label has, and the "
         "data's fingerprint (environment: 1)", const="1"),
    Flag("hide-resources", "FL_CLIENT_HIDE_RESOURCES", switch, "do not report steps a second, memory, processor and "
         "GPU use of the training (environment: 1)", const="1"),
    Flag("insecure", "FL_INSECURE", switch, "use plain http:// to a server beyond this machine; others on the way "
         "can then read the token and the updates (environment: 1)", const="1"),
    Flag("send-log", "FL_CLIENT_SEND_LOG", switch, "send this agent's log to the server, where operators can read it "
         "(environment: 1)", const="1"),
    Flag("clients", "FL_CLIENT_CLIENTS", whole(1, MAX_CLIENTS), "be so many clients, each with a number after NAME, a "
         "state folder in DIR and its part of the data (--partition, default iid)", "N"),
    Flag("workers", "FL_CLIENT_WORKERS", whole(1, MAX_WORKERS), "with --clients: processes that compute (default one "
         "per core)", "N"),
    Flag("connections", "FL_CLIENT_CONNECTIONS", whole(1, MAX_CLIENTS), "with --clients: at most N connections wait "
         "for work at a time (default 500)", "N"),
    Flag("flower-app", "FL_CLIENT_FLOWER_APP", flower_app, "run this ClientApp of Flower: MODULE:NAME, or the folder "
         "with its pyproject.toml", "APP"),
    Flag("flower-initial", "FL_CLIENT_FLOWER_INITIAL", flower_initial, "with --flower-app: what makes the model that "
         "sessions begin with, MODULE:NAME or a safetensors file", "MODEL"),
    Flag("flower-measures", "FL_CLIENT_FLOWER_MEASURES", measures, "with --flower-app: what its evaluation measures, "
         "the most telling first, with commas between them (default accuracy,loss)", "NAMES"),
    Flag("flower-node-config", "FL_CLIENT_FLOWER_NODE_CONFIG", pairs, "with --flower-app: the context's node_config, "
         "such as 'partition-id=0 num-partitions=3'", "PAIRS"),
    Flag("nvflare-script", "FL_CLIENT_NVFLARE_SCRIPT", file, "run this script with NVFlare's Client API; its own "
         "arguments stand after --", "FILE"),
    Flag("nvflare-name", "FL_CLIENT_NVFLARE_NAME", line, "with --nvflare-script: the workload's name (default: the "
         "file's)", "NAME"),
    Flag("nvflare-initial", "FL_CLIENT_NVFLARE_INITIAL", flower_initial, "with --nvflare-script: what makes the model "
         "that sessions begin with, MODULE:NAME or a safetensors file", "MODEL"),
    Flag("nvflare-measures", "FL_CLIENT_NVFLARE_MEASURES", measures, "with --nvflare-script: what it measures, the "
         "most telling first, with commas between them (default: what its source sends as metrics)", "NAMES"),
    Flag("nvflare-anew", "FL_CLIENT_NVFLARE_ANEW", switch, "with --nvflare-script: run it anew for each piece of work, "
         "so that a kill changes no byte of what it makes (environment: 1)", const="1"),
    Flag("once", "FL_CLIENT_ONCE", switch, "take part in one round, then leave (environment: 1)", const="1"),
    Flag("take-over", "FL_CLIENT_TAKE_OVER", switch, "replace another agent that acts for this client; that one ends "
         "(environment: 1)", const="1"),
)  # fmt: skip

EPILOG = """After --, a training program of your own takes the agent's place; it is started again when it dies.
With --nvflare-script, the script's own arguments stand there.
run.py new NAME writes a workload's file to begin with, run.py check NAME tries one without a server.
run.py preview draws how --partition would share out a data set.
run.py sent lists every update that left this site.
A flag overrides its environment variable, which is in brackets; FL_JOIN_CODE_FILE=FILE takes the value of
FL_JOIN_CODE from a file, and so it is with every flag's variable. The first start enrols the client.
Later starts need only --state. Ctrl-C leaves politely, a second one ends at once.
Exit status: 0 left, 2 wrong option or refused by the server, 3 the token is no longer valid, 4 another agent acts
for this client."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="run.py",
        usage="run.py --server URL --join CODE --name NAME [options] [-- COMMAND]",
        description="Train with this site's data for a federated learning server. Data never leave the site; "
        "all connections go out over HTTP.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_flags(made)
    made.add_argument("--version", action="version", version=f"fl-agent {__version__}")
    return made


def _add_flags(made: argparse.ArgumentParser) -> None:
    for flag in FLAGS:
        if flag.const is None:
            action: Any = Joined if flag.read is allowances else "store"
            made.add_argument(
                f"--{flag.name}", dest=flag.target, action=action, metavar=flag.metavar, help=flag.described
            )
        else:
            made.add_argument(
                f"--{flag.name}", dest=flag.target, action="store_const", const=flag.const, help=flag.described
            )
    made.add_argument(
        f"--{NOTHING_SHARED}", action="store_true", help="has no effect: nothing is shared without --share-histogram"
    )


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from flags, then environment, then defaults. Raises Misconfigured with what is allowed."""
    return _settings(vars(parser().parse_args(arguments)), environment)


def read_among(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """As `read`, where flags of another program stand between ours. Those are passed over.

    So is what is for many clients: a program is one, and may well have a --workers of its own.
    """
    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_flags(ours)
    known = vars(ours.parse_known_args(arguments)[0]) | dict.fromkeys(FOR_MANY)
    variables = {flag.env for flag in FLAGS if flag.target in FOR_MANY}
    return _settings(known, {name: value for name, value in environment.items() if name not in variables})


def _settings(given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    values: dict[str, Any] = {}
    for flag in FLAGS:
        text, source = given[flag.target], f"--{flag.name}"
        if text is None:
            text, source = _of_environment(flag, environment)
        if text is not None:
            values[flag.target] = _value(flag, text.strip(), source)
    settings = Settings(**values)
    _check_held_out(settings)
    _check_flower(settings, values)
    _check_nvflare(settings, values)
    if given[NOTHING_SHARED.replace("-", "_")]:
        settings = _nothing_shared(settings)
    _check_many(settings, values)
    if settings.clients is None and (settings.partition is None) != (settings.shard is None):
        raise Misconfigured("--partition and --shard go together: --partition dirichlet:0.5 --shard 2/4.")
    return settings


def _of_environment(flag: Flag, environment: Mapping[str, str]) -> tuple[str | None, str]:
    """The flag's variable, or what is in the file that the variable with _FILE names; and which of them it was."""
    value, named = environment.get(flag.env) or None, f"{flag.env}_FILE"
    file = environment.get(named)
    if not file:
        return value, flag.env
    if value is not None:
        raise Misconfigured(f"{flag.env} and {named} are both set. Use one of them.")
    try:
        content = Path(file).expanduser().read_text().strip()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Misconfigured(f"{named}: the file {file} cannot be read: {reason}.") from None
    if not content:
        raise Misconfigured(f"{named}: the file {file} is empty.")
    return content, named


def _check_held_out(settings: Settings) -> None:
    """Raises Misconfigured for flags that do not go with --validation."""
    if settings.validation is None:
        return
    if settings.validation_samples is not None:
        raise Misconfigured("--validation and --validation-samples exclude each other. Use one of them.")
    if settings.clients is not None:
        raise Misconfigured("--validation is for a single client. With --clients use --validation-samples.")


def _check_many(settings: Settings, given: Collection[str]) -> None:
    """Raises Misconfigured for flags that do not go with --clients, or not without."""
    if settings.clients is None:
        if alone := [name for name in FOR_MANY if name in given]:
            raise Misconfigured(f"--{alone[0]} goes with --clients.")
    elif settings.shard is not None:
        raise Misconfigured("--clients gives each client its own shard of the data. Leave --shard out.")
    elif settings.send_log:
        raise Misconfigured("--send-log is for a single client. With --clients the log is in the state folder.")
    elif not hasattr(os, "fork"):
        raise Misconfigured("--clients needs Linux or macOS: this system cannot fork processes.")


def _check_flower(settings: Settings, given: Collection[str]) -> None:
    """Raises Misconfigured for flags that do not go with --flower-app, or not without."""
    if settings.flower_app is None:
        if alone := [name.replace("_", "-") for name in FOR_FLOWER if name in given]:
            raise Misconfigured(f"--{alone[0]} goes with --flower-app.")
    elif settings.clients is not None:
        raise Misconfigured("--clients is for the agent. A Flower app is one client: leave --clients out.")


def _check_nvflare(settings: Settings, given: Collection[str]) -> None:
    """Raises Misconfigured for flags that do not go with --nvflare-script, or not without."""
    if settings.nvflare_script is None:
        if alone := [name.replace("_", "-") for name in FOR_NVFLARE if name in given]:
            raise Misconfigured(f"--{alone[0]} goes with --nvflare-script.")
    elif settings.clients is not None:
        raise Misconfigured("--clients is for the agent. An NVFlare script is one client: leave --clients out.")
    elif settings.flower_app is not None:
        raise Misconfigured("--flower-app and --nvflare-script exclude each other. Use one of them.")


def _nothing_shared(settings: Settings) -> Settings:
    """Accept the old flag for what is now the default. Raises Misconfigured if both flags are given."""
    if settings.share_histogram:
        raise Misconfigured(f"--share-histogram and --{NOTHING_SHARED} contradict each other. Use one of them.")
    print(f"run.py: --{NOTHING_SHARED} has no effect: nothing is shared without --share-histogram.", file=sys.stderr)
    return settings


def _value(flag: Flag, text: str, source: str) -> Any:
    try:
        return flag.read(text)
    except ValueError as error:
        raise Misconfigured(f"{source} {text!r}: {str(error).rstrip('.')}.") from None
