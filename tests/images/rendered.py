"""Renders and checks the chart, in the environment that has Helm's library: `python rendered.py VALUES`.

Prints JSON: the manifests, what `helm lint` finds, and how each manifest fails the schema of Kubernetes.
"""

import json
import sys

import helm_python
import kubernetes_validate
import yaml

CHART = "deploy/chart"
LINTED_AS_WARNING = 2  # severity


def main(values: dict) -> dict:
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        rendered = chart.render(values, name="fl", namespace="fl", is_install=True)
    manifests = [one for text in rendered.values() for one in yaml.safe_load_all(text) if one]
    lint = helm_python.lint(CHART, values)
    said = [one["error"] for one in lint["messages"] if one["severity"] >= LINTED_AS_WARNING]
    return {
        "manifests": manifests,
        "lint": [*said, *lint["errors"]],
        "invalid": list(filter(None, map(fault, manifests))),
    }


def fault(manifest: dict) -> str:
    try:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{manifest['kind']}: {error.message}"
    return ""


if __name__ == "__main__":
    try:
        print(json.dumps(main(json.loads(sys.argv[1]))))
    except helm_python.HelmError as error:
        sys.exit(str(error))
