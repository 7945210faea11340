"""Starts what compose.yaml describes, from images that are unpacked here: no Docker is needed.

Compose itself reads the files (`docker compose config`). From its answer come order, commands, users, environment,
volumes, temporary folders and health checks, so what is wrong there fails here. All share one network.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from flsite import processes
from tests.e2e.stack import ROOT
from tests.images import standins
from tests.images.building import Builder
from tests.images.container import Container, Mount

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
GRACE = "10s"  # Compose's own, where a service says nothing
PATIENCE_SECONDS = 400  # for all of it; a busy machine imports slowly
DONE, HEALTHY = "service_completed_successfully", "service_healthy"


def model(*files: str, **env: str) -> dict[str, Any]:
    """The whole of these files, as Compose understands them."""
    names = [word for file in files for word in ("--file", file)]
    command = ["docker-compose", "--project-directory", ".", *names, "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def own_network() -> None:
    """From now on this thread, and what it starts, has a network of its own, with nothing but a loopback."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "no network of one's own")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Stack:
    """without: services that are left out."""

    def __init__(
        self, folder: Path, model: Mapping[str, Any], builder: Builder, *, without: Sequence[str] = ()
    ) -> None:
        self.folder, self.builder = folder, builder
        self.services = {name: one for name, one in model["services"].items() if name not in without}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ended: dict[str, int] = {}
        self.hosts = folder / "hosts"
        self.hosts.write_text(f"127.0.0.1 localhost {' '.join(self.services)}\n")
        self.container = cache(self._container)

    def start(self) -> None:
        """All services, each when those that it depends on are as it wants them."""
        waiting, end = dict(self.services), time.monotonic() + PATIENCE_SECONDS
        while waiting:
            assert time.monotonic() < end, f"still waiting: {list(waiting)}; logs are in {self.folder}"
            ready = [name for name, one in waiting.items() if self._may_start(one)]
            for name in ready:
                del waiting[name]
                print(f"  starting {name}", flush=True)
                self.running[name] = self.container(name).start(self.log(name))
            self._notice_the_dead()
            time.sleep(0.2)

    def _may_start(self, service: Mapping[str, Any]) -> bool:
        return all(self._is(name, of["condition"]) for name, of in service.get("depends_on", {}).items())

    def _is(self, name: str, condition: str) -> bool:
        if condition == DONE:
            return self.ended.get(name) == 0
        if name not in self.running:
            return False
        if condition == HEALTHY:
            return self.is_healthy(name)
        return True

    def _notice_the_dead(self) -> None:
        for name, process in list(self.running.items()):
            if (status := process.poll()) is not None:
                self.ended[name] = status
                del self.running[name]
                assert status == 0 and self.services[name]["restart"] == "no", f"{name}: {status}: {self.said(name)}"

    def is_healthy(self, name: str) -> bool:
        """What the health check says, that of the file or else that of the image."""
        check = self.services[name].get("healthcheck", {}).get("test") or self._config(name)["Healthcheck"]["Test"]
        assert check[0] == "CMD"
        return self.container(name).run(check[1:]).returncode == 0

    def _config(self, name: str) -> Mapping[str, Any]:
        return self.builder.config(self.services[name]["image"]) if "build" in self.services[name] else {}

    def _container(self, name: str) -> Container:
        service, image = self.services[name], self._config(name)
        env = dict(pair.split("=", 1) for pair in image.get("Env", ()))
        mounts = [self._mount(name, one) for one in service.get("volumes", ())]
        if image:
            root, command = self._unpacked(service["image"]), service["command"] or image.get("Cmd")
            command = [*(service.get("entrypoint") or image.get("Entrypoint") or ()), *(command or ())]
            user = service.get("user") or image["User"]
        else:
            program = service["image"].partition(":")[0].rpartition("/")[2]
            root, parts = standins.root(self.folder / "roots" / name, program)
            mounts = [*parts, *mounts]
            env |= {"PATH": standins.PATH} | standins.ENV.get(program, {})
            command = service["command"] or standins.COMMANDS[program]
            user = service.get("user", standins.USERS[program])
        return Container(
            root,
            command,
            user,
            env | {key: value or "" for key, value in service.get("environment", {}).items()},
            image.get("WorkingDir") or "/",
            mounts,
            service.get("tmpfs", ()),
            is_writable=not service.get("read_only", False),
            hosts=self.hosts,
        )

    @cache  # noqa: B019  a stack lives as long as the tests
    def _unpacked(self, image: str) -> Path:
        return self.builder.unpacked(image)

    def _mount(self, name: str, volume: Mapping[str, Any]) -> Mount:
        writable = not volume.get("read_only", False)
        if volume["type"] == "bind":
            return Mount(Path(volume["source"]), volume["target"], writable)
        return Mount(self._volume(name, volume["source"], volume["target"]), volume["target"], writable)

    def _volume(self, name: str, volume: str, target: str) -> Path:
        """A new volume begins as what the image has at its place, as Docker has it."""
        made = self.folder / "volumes" / volume
        if not made.exists():
            made.mkdir(parents=True)
            service = self.services[name]
            if "build" in service:
                place = self._unpacked(service["image"]) / target.lstrip("/")
                shutil.copymode(place, made)
                os.chown(made, place.stat().st_uid, place.stat().st_gid)
            else:
                program = service["image"].partition(":")[0].rpartition("/")[2]
                os.chown(made, *map(int, standins.USERS[program].split(":")))
                made.chmod(0o700)
        return made

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def said(self, name: str) -> str:
        return self.log(name).read_text()[-3000:]

    def exec(self, name: str, *command: str, **env: str) -> str:
        """As `docker compose exec`."""
        done = self.container(name).run(command, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def stop(self) -> dict[str, int]:
        """As `docker compose stop`: users first, each within its time. Returns how each ended, below 0 by a signal."""
        for name in self._users_first():
            process = self.running.pop(name, None)
            if process is not None:
                grace = re.fullmatch(r"(\d+)s", self.services[name].get("stop_grace_period", GRACE))
                assert grace
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    self.ended[name] = process.wait(int(grace[1]))
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    self.ended[name] = process.wait()
        return self.ended

    def _users_first(self) -> list[str]:
        order: list[str] = []
        while len(order) < len(self.services):
            left = {name: one for name, one in self.services.items() if name not in order}
            needed = {other for one in left.values() for other in one.get("depends_on", {})}
            order += [name for name in left if name not in needed]
        return order

    def kill(self) -> None:
        processes.stop(list(self.running.values()), signal.SIGKILL, patience=5)
