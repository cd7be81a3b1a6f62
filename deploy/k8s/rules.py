"""The Prometheus operator's form of deploy/prometheus/rules: ``python -m deploy.k8s.rules`` writes it anew.

Kustomize can put a file into a ConfigMap, but not into a PrometheusRule.
"""

from pathlib import Path
from textwrap import indent

SOURCE = Path(__file__).parents[1] / "prometheus" / "rules"
TARGET = Path(__file__).parent / "components" / "prometheus-operator"

HEAD = """\
# Made from deploy/prometheus/rules/{name}.yml by `python -m deploy.k8s.rules`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: gaitway-{name}
spec:
"""


def prometheus_rules() -> dict[Path, str]:
    """The text of a PrometheusRule for every file of rules, by where it belongs."""
    return {
        TARGET / f"{source.stem}.yaml": HEAD.format(name=source.stem) + indent(source.read_text(), "  ")
        for source in sorted(SOURCE.glob("*.yml"))
    }


if __name__ == "__main__":
    for path, text in prometheus_rules().items():
        path.write_text(text)
