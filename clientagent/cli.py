"""What `run.py` does: be an agent, be many clients, host an app, keep a program running, or carry out a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from clientagent import commands, policy, supervising
from clientagent.display import Lines
from clientagent.errors import Ends, Misconfigured
from clientagent.flags import FLAGS, parser, read
from clientagent.identity import folder_of
from clientagent.policy import Policy
from clientagent.settings import Settings

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
INTERRUPTED = 130  # the status of a command, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent until it leaves. Returns the exit status."""
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        if "--" in words:
            return _with_more(words[: words.index("--")], words[words.index("--") + 1 :])
        os.umask(0o077)  # everything that is written is for this user alone
        if words and words[0] in commands.NAMES:
            return _command(words)
        return _run(read(words, os.environ))
    except Ends as error:
        print(f"run.py: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:  # before there was anything to leave
        return 0


def _command(words: Sequence[str]) -> int:
    """Carry out a command. One that was interrupted has not done what it was asked for."""
    fix_threads(1)
    try:
        return _printed(commands.command(words[0]), words[1:])
    except KeyboardInterrupt:
        print(f"run.py: {words[0]} was interrupted.", file=sys.stderr)
        return INTERRUPTED


def _printed(command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Run a command. Whoever reads what it prints may want no more of it: `run.py sent | head`."""
    try:
        status = command(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again at its end
        return 0


def _with_more(words: Sequence[str], more: Sequence[str]) -> int:
    """Run a script with these arguments, or a program by this command."""
    settings = read(words, os.environ)  # what is wrong is said at once, and before anything is started
    if settings.nvflare_script is None:
        return _supervise(settings, words, more)
    os.umask(0o077)
    return _run(settings, more)


def _supervise(settings: Settings, words: Sequence[str], command: Sequence[str]) -> int:
    """Keep a training program of the site's own running, with these flags in its environment."""
    if not command or not command[0]:
        raise Misconfigured("Which program? Give its command after --, for example -- python train.py.")
    if settings.clients is not None:
        raise Misconfigured("--clients is for the agent. A program of your own is one client: leave --clients out.")
    if settings.flower_app is not None:
        raise Misconfigured("--flower-app and a program after -- exclude each other. Use one of them.")
    given = vars(parser().parse_args(words))
    env = {flag.env: given[flag.target] for flag in FLAGS if given[flag.target] is not None}
    if settings.threads is not None:
        fix_threads(settings.threads)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return supervising.run(command, supervising.environment_of(env, root), Lines(sys.stderr).say)


def _run(settings: Settings, arguments: Sequence[str] = ()) -> int:
    """arguments: a script's own."""
    fix_threads(settings.threads or 1)
    if settings.flower_app is not None:
        from clientagent.hosts import flower

        return flower.run(settings)
    if settings.nvflare_script is not None:
        from clientagent.hosts import nvflare

        return nvflare.run(settings, arguments)
    return _be_agent(settings)


def _be_agent(settings: Settings) -> int:
    if settings.clients is None:
        from clientagent.agent import run
    else:
        from clientagent.crowd.running import run
    with policy.enforced(_policy(settings)):
        return run(settings)


def _policy(settings: Settings) -> Policy:
    """What this site serves, after its owner was asked about what is new. Raises Misconfigured.

    Workloads of its own are loaded, each once it is allowed: no code of another one runs.
    """
    from clientagent import approval, site_workloads
    from federation.fl.workloads import WORKLOADS

    folder, ask = folder_of(settings), approval.at_terminal()
    claims = site_workloads.claims(settings.workloads)
    kept = policy.keep(folder, policy.read(folder, WORKLOADS.built_in), settings.allow)
    undecided = [claim for claim in claims if not kept.lets_run(claim.name, claim.source)]
    kept = approval.decide(folder, kept, undecided, ask)
    site_workloads.load(settings.workloads, allows=kept.lets_run)
    return approval.decide(folder, kept, site_workloads.loaded(), ask)


def fix_threads(count: int) -> None:
    """Before numpy and torch are loaded: their results depend on how many threads share a sum."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products on CUDA
