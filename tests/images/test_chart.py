"""The Helm chart: it renders, every manifest fits Kubernetes' schema, and they say what docs/containers.md says.

No cluster is started: these checks are static.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from federation.fl.version import __version__
from tests.e2e.stack import ROOT

HOSTS = {"hosts": ["fl.example.org"]}


def ask(values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """In the environment of the checking tools, which is where their docker-compose is."""
    found = shutil.which("docker-compose")
    assert found, "run `make test-images`"
    command = [Path(found).with_name("python"), "tests/images/rendered.py", json.dumps(values)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def rendered(**values: Any) -> dict[str, Any]:
    done = ask(HOSTS | values)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def of_kind(kind: str, **values: Any) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in rendered(**values)["manifests"] if one["kind"] == kind}


VARIANTS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "without autoscaling": {"web": {"autoscaling": {"enabled": False}}},
    "without an ingress": {"ingress": {"enabled": False}},
    "with a claim and settings": {"data": {"existingClaim": "mine"}, "settings": {"FL_KEEP_UPDATES": 3}},
    "with a pull secret": {"imagePullSecrets": [{"name": "registry"}], "image": {"repository": "registry.example/fl"}},
}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_every_manifest_fits_the_schema(values: dict[str, Any]):
    found = rendered(**values)
    assert len(found["manifests"]) >= 8
    assert found["lint"] == [] and found["invalid"] == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"hosts": []}, "Set hosts to the names"),
        (HOSTS | {"database": {"url": "mysql://x"}}, "database"),
        (HOSTS | {"settings": {"PATH": "x"}}, "PATH"),
        (HOSTS | {"worker": {"replicas": 0}}, "worker"),
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any], said: str):
    done = ask(values)
    assert done.returncode != 0 and said in done.stderr


def pods(**values: Any) -> dict[str, dict[str, Any]]:
    found = rendered(**values)["manifests"]
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in found if "template" in one["spec"]}


def test_every_pod_may_do_as_little_as_it_needs_and_mounts_its_secrets():
    found = pods()
    assert found.keys() == {"fl-web", "fl-worker", "fl-beat", "fl-migrate"}
    for name, pod in found.items():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001, name
        assert container["securityContext"]["readOnlyRootFilesystem"], name
        assert container["image"] == f"fl-server:{__version__}"
        env = {one["name"]: one["value"] for one in container["env"]}
        assert env["FL_SECRET_KEY_FILE"] == "/secrets/secret_key" and env["FL_BEHIND_PROXY"] == "1", name
        assert {one["mountPath"] for one in container["volumeMounts"]} == {"/data", "/secrets", "/tmp"}, name


def test_the_database_is_migrated_before_the_pods_of_a_version_start():
    (job,) = of_kind("Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["containers"][0]["command"][:3] == ["python3", "manage.py", "migrate"]


def test_a_second_beat_stands_by():
    assert of_kind("Deployment")["fl-beat"]["spec"]["replicas"] == 2


def test_web_processes_are_probed_scaled_and_never_all_away():
    web = of_kind("Deployment")["fl-web"]["spec"]
    container = web["template"]["spec"]["containers"][0]
    probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert probes == {"startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    assert "replicas" not in web, "or each upgrade would undo the scaling"
    scaler = of_kind("HorizontalPodAutoscaler")["fl-web"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)
    assert of_kind("PodDisruptionBudget")["fl-web"]["spec"]["minAvailable"] == 1
    assert of_kind("HorizontalPodAutoscaler", web={"autoscaling": {"enabled": False}}) == {}
    assert of_kind("Deployment", web={"autoscaling": {"enabled": False}})["fl-web"]["spec"]["replicas"] == 2


def test_the_service_and_the_budget_choose_the_web_pods_alone():
    labels = {name: one["spec"]["template"]["metadata"]["labels"] for name, one in of_kind("Deployment").items()}
    chosen = of_kind("Service")["fl-web"]["spec"]["selector"]
    assert [name for name, of in labels.items() if chosen.items() <= of.items()] == ["fl-web"]
    assert of_kind("PodDisruptionBudget")["fl-web"]["spec"]["selector"]["matchLabels"] == chosen


def test_its_commands_are_those_of_compose():
    text = (ROOT / "compose.yaml").read_text()
    for name in ("worker", "beat"):
        command = pods()[f"fl-{name}"]["containers"][0]["command"]
        assert re.sub(r'["\s]', "", ",".join(command)) in re.sub(r'["\s]', "", text)


def test_it_is_of_the_version_of_the_server():
    chart = (ROOT / "deploy/chart/Chart.yaml").read_text()
    assert f"appVersion: {__version__}\n" in chart and f"\nversion: {__version__}\n" in chart
