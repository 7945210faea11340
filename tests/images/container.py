"""Runs a command in a root folder of its own, as a container does: read-only, as a user, with volumes.

By unshare and chroot, so that no Docker is needed. The network and the processes are those of whoever starts it.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flsite import processes
from tests.e2e.stack import ROOT


@dataclass(frozen=True, slots=True)
class Mount:
    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """user: its number and its group's, with a colon between them."""

    root: Path
    command: Sequence[str]
    user: str
    env: Mapping[str, str]
    folder: str = "/"
    mounts: Sequence[Mount] = ()
    temporary: Sequence[str] = ()  # folders in memory, as Compose writes them: /bodies:mode=0777
    is_writable: bool = False
    hosts: Path = field(default=Path("/etc/hosts"))

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        return processes.start(self._unshared(self.command), log=log, cwd=ROOT)

    def run(self, command: Sequence[str], **env: str) -> subprocess.CompletedProcess[str]:
        """Another command beside it, as `docker compose exec` runs one."""
        return subprocess.run(self._unshared(command, env), capture_output=True, text=True, timeout=300)

    def _unshared(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
        return ["unshare", "--mount", "sh", "-ec", self._script(command, dict(self.env) | dict(env or {}))]

    def _script(self, command: Sequence[str], env: Mapping[str, str]) -> str:
        root = str(self.root)
        steps = [["mount", "--make-rprivate", "/"], ["mount", "--rbind", root, root]]
        for name in ("proc", "dev"):
            steps += [["mkdir", "-p", f"{root}/{name}"], ["mount", "--rbind", f"/{name}", f"{root}/{name}"]]
        for mount in [*self.mounts, Mount(self.hosts, "/etc/hosts")]:
            target = f"{root}{mount.target}"
            steps.append(["mkdir", "-p", target] if mount.source.is_dir() else ["touch", target])
            steps.append(["mount", "--bind", str(mount.source), target])
            if not mount.writable:
                steps.append(["mount", "-o", "remount,ro,bind", target])
        for place in self.temporary:
            target, _, options = place.partition(":")
            steps.append(["mkdir", "-p", root + target])
            steps.append(["mount", "-t", "tmpfs", "-o", options or "mode=1777", "tmpfs", root + target])
        if not self.is_writable:
            steps.append(["mount", "-o", "remount,ro,bind", root])
        variables = [f"{name}={value}" for name, value in env.items()]
        inside = ["env", "-i", "-C", self.folder, *variables, *command]
        steps.append(["exec", "chroot", f"--userspec={self.user}", "--groups=", root, *inside])
        return "\n".join(map(shlex.join, steps))
