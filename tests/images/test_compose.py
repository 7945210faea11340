"""The files of Compose: Compose reads them, and what they say keeps the promises of docs/containers.md."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flsite import environment
from tests.e2e.stack import ROOT
from tests.images.composed import model

ALONE, DEMO, TLS = ("compose.yaml",), ("compose.yaml", "compose.demo.yaml"), ("compose.yaml", "compose.tls.yaml")
OURS = ("fl-server:latest", "fl-agent:latest")


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "pem").touch()
    return dict.fromkeys(("FL_CERTIFICATE", "FL_CERTIFICATE_KEY"), str(tmp_path / "pem"))


@pytest.mark.parametrize("files", [ALONE, DEMO, TLS], ids=lambda files: files[-1])
def test_the_files_fit_the_schema(files: tuple[str, ...], certificates: dict[str, str], tmp_path: Path):
    """Of what Compose makes of them: the schema knows no !override."""
    (tmp_path / "whole.json").write_text(json.dumps(model(*files, **certificates)))
    command = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(tmp_path / "whole.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def ours(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in described["services"].items() if one["image"] in OURS}


@pytest.mark.parametrize("files", [ALONE, DEMO], ids=lambda files: files[-1])
def test_our_processes_may_do_as_little_as_they_need(files: tuple[str, ...]):
    for name, service in ours(model(*files)).items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["init"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and "ports" not in service, name


def test_every_process_starts_after_the_migration():
    services = model(*ALONE)["services"]
    assert services.keys() == {"setup", "postgres", "valkey", "migrate", "web", "worker", "beat", "nginx"}
    after = {name for name, one in services.items() if "migrate" in one.get("depends_on", {})}
    assert after == {"web", "worker", "beat"}


def test_all_processes_have_the_same_settings_and_the_data_folder():
    services = model(*ALONE)["services"]
    web, worker, beat = (services[name] for name in ("web", "worker", "beat"))
    assert web["environment"] == worker["environment"] == beat["environment"]
    assert web["volumes"] == worker["volumes"] == beat["volumes"]


@pytest.mark.parametrize("files", [ALONE, DEMO], ids=lambda files: files[-1])
def test_every_setting_is_one_that_is_documented(files: tuple[str, ...]):
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    agent = (ROOT / "clientagent/flags.py").read_text()
    for name, service in ours(model(*files)).items():
        for variable in service.get("environment", ()):
            known = variable.removesuffix("_FILE")
            assert known in documented or f'"{known}"' in agent, f"{name}: {variable}"


def test_only_this_machine_reaches_it_without_encryption():
    ports = [port for one in model(*ALONE)["services"].values() for port in one.get("ports", ())]
    assert [(port["host_ip"], port["published"], port["target"]) for port in ports] == [("127.0.0.1", "8000", 8080)]


def test_with_a_certificate_only_https_is_open_and_the_server_knows_it(certificates: dict[str, str]):
    services = model(*TLS, **certificates)["services"]
    ports = [(port["published"], port["target"]) for port in services["nginx"]["ports"]]
    assert ports == [("443", 8443)]
    listen = [one["source"] for one in services["nginx"]["volumes"] if one["target"] == "/etc/nginx/listen.conf"]
    assert listen == [str(ROOT / "deploy/nginx/tls.conf")]
    assert {services[name]["environment"]["FL_BEHIND_PROXY"] for name in ("web", "worker", "beat")} == {"1"}


def test_without_a_certificate_https_says_what_to_set():
    with pytest.raises(AssertionError, match="Set FL_CERTIFICATE to the file"):
        model(*TLS)


def test_nginx_takes_what_the_documented_block_takes():
    """docs/operating.md explains the limits; the file of the stack has the same ones."""
    documented = (ROOT / "docs/operating.md").read_text().partition("```nginx\n")[2].partition("```")[0]
    stack = (ROOT / "deploy/nginx/nginx.conf").read_text()
    names = r"(client_\w+|limit_\w+|large_\w+|send_timeout|keepalive_timeout|proxy_read_timeout) ([^;]+);"
    ours = {(name, value) for name, value in re.findall(names, stack) if not name.endswith("temp_path")}
    assert ours == set(re.findall(names, documented))


def test_a_setting_that_is_empty_counts_as_not_set(monkeypatch: pytest.MonkeyPatch):
    """Compose gives an empty text for what nobody set."""
    monkeypatch.setenv("FL_TEST", "")
    assert environment.url("FL_TEST", "smtp") == "" and environment.hosts("FL_TEST").names == frozenset()
