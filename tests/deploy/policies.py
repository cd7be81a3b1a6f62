"""What must hold of manifests whatever they deploy: each policy yields a line for every fault."""

import re
from collections.abc import Iterator

from tests.deploy.manifests import (
    Manifest,
    Manifests,
    component,
    containers,
    matches,
    named,
    of_kind,
    pod,
    ports,
    title,
    workloads,
)

STOP_S = 10
"""A service ends within about that of SIGTERM (tests/e2e)."""
SERVICES = ("ingest", "features", "inference", "canary")
SECRETS = {("gaitway-jwt", "key"), ("gaitway-redis", "url")}


def namespaces(manifests: Manifests) -> Iterator[str]:
    """One namespace, made here, in which the API server itself holds pods to the restricted standard."""
    (own,) = of_kind(manifests, "Namespace")
    if own["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        yield f"{title(own)} does not enforce the restricted standard"
    for one in manifests:
        if one is not own and one["metadata"].get("namespace") != own["metadata"]["name"]:
            yield f"{title(one)} is in namespace {one['metadata'].get('namespace')}"


def confined(manifests: Manifests) -> Iterator[str]:
    """The restricted pod security standard, and more: read-only root, no token of the API server."""
    for workload in workloads(manifests):
        spec = pod(workload)["spec"]
        security = spec.get("securityContext", {})
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
            yield f"{title(workload)} may run as root"
        if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{title(workload)} has no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{title(workload)} gets a token of the API server"
        if spec.get("enableServiceLinks") is not False:
            yield f"{title(workload)} gets variables of Services, which read like settings"
        if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{title(workload)} shares the host's namespaces"
        yield from (
            f"{title(workload)} mounts {volume['name']} of the host"
            for volume in spec.get("volumes", [])
            if "hostPath" in volume
        )
    for name, container in containers(manifests):
        security = container.get("securityContext", {})
        if security.get("privileged") or security.get("allowPrivilegeEscalation") is not False:
            yield f"{name} may gain privileges"
        if security.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name} keeps capabilities"
        if security.get("readOnlyRootFilesystem") is not True:
            yield f"{name} may write to its image"
        if security.get("runAsUser") == 0 or security.get("runAsNonRoot") is False:
            yield f"{name} may run as root"
        if "hostPort" in str(container.get("ports")):
            yield f"{name} takes a port of the host"


def bounded(manifests: Manifests) -> Iterator[str]:
    """Requests and limits of CPU and memory."""
    for name, container in containers(manifests):
        resources = container.get("resources", {})
        for kind in ("requests", "limits"):
            if missing := {"cpu", "memory"} - set(resources.get(kind, {})):
                yield f"{name} has no {kind} of {', '.join(sorted(missing))}"


def pinned(manifests: Manifests) -> Iterator[str]:
    """Images by version."""
    for name, container in containers(manifests):
        if not re.search(r":v?\d+\.\d+\.\d+", container["image"]):
            yield f"{name} runs {container['image']}, whatever that is"


def secretless(manifests: Manifests) -> Iterator[str]:
    """Secrets by reference alone, and only those that docs/operations.md tells how to make."""
    yield from (f"{title(one)} holds a secret" for one in of_kind(manifests, "Secret"))
    values = [(title(one), item) for one in of_kind(manifests, "ConfigMap") for item in one["data"].items()]
    for name, container in containers(manifests):
        for variable in container.get("env", []):
            if "value" in variable:
                values.append((name, (variable["name"], variable["value"])))
                continue
            reference = variable["valueFrom"].get("secretKeyRef")
            if reference and (reference["name"], reference["key"]) not in SECRETS:
                yield f"{name}: {variable['name']} is of an unknown secret {reference['name']}"
    for name, (key, value) in values:
        if re.search(r"KEY|TOKEN|PASSWORD|SECRET", key) or re.search(r"://[^/]*@", value):
            yield f"{name}: {key} is a secret in the open"


def probed(manifests: Manifests) -> Iterator[str]:
    """All three probes, at a port that the container has; the services' at their routes; time enough to stop in."""
    for workload in workloads(manifests):
        spec = pod(workload)["spec"]
        (container,) = spec["containers"]
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            how = container.get(probe, {})
            target = how.get("httpGet") or how.get("tcpSocket") or {}
            if target.get("port") not in ports(workload):
                yield f"{title(workload)} has no {probe} at a port of its own"
            elif component(workload) in SERVICES and target.get("path") != path:
                yield f"{title(workload)} asks {target.get('path')} in its {probe}"
        wait_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if component(workload) in SERVICES and spec.get("terminationGracePeriodSeconds", 0) < STOP_S + wait_s + 5:
            yield f"{title(workload)} has no time to stop in"


def connected(manifests: Manifests) -> Iterator[str]:
    """What refers to something else by label or name finds it."""
    pods = {component(one): pod(one)["metadata"]["labels"] for one in workloads(manifests)}
    open_ports = {component(one): ports(one) for one in workloads(manifests)}
    for workload in workloads(manifests):
        labels = pods[component(workload)]
        if not matches(workload["spec"]["selector"], labels):
            yield f"{title(workload)} does not select its own pods"
        for spread in pod(workload)["spec"].get("topologySpreadConstraints", []):
            if not matches(spread["labelSelector"], labels) or not set(spread["matchLabelKeys"]) <= set(labels):
                yield f"{title(workload)} spreads other pods"
        for source in (s for one in pod(workload)["spec"]["containers"] for s in one.get("envFrom", [])):
            if source["configMapRef"]["name"] not in _names(manifests, "ConfigMap"):
                yield f"{title(workload)} has no ConfigMap {source['configMapRef']['name']}"
    for service in of_kind(manifests, "Service"):
        found = [name for name, labels in pods.items() if matches({"matchLabels": service["spec"]["selector"]}, labels)]
        if found != [service["metadata"]["name"]]:
            yield f"{title(service)} selects {found}"
        for port in service["spec"]["ports"]:
            if any(port["targetPort"] not in open_ports[name] for name in found):
                yield f"{title(service)} sends to {port['targetPort']}, a port that its pods have not"
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for one in of_kind(manifests, kind):
            if not any(matches(one["spec"][key], labels) for labels in pods.values()):
                yield f"{title(one)} is about no pod"
    for workload in of_kind(manifests, "StatefulSet"):
        if workload["spec"]["serviceName"] not in _names(manifests, "Service"):
            yield f"{title(workload)} has no Service"
        elif named(manifests, "Service", workload["spec"]["serviceName"])["spec"].get("clusterIP") != "None":
            yield f"{title(workload)} has no headless Service"
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        found = [one for one in of_kind(manifests, target["kind"]) if one["metadata"]["name"] == target["name"]]
        if len(found) != 1:
            yield f"{title(scaler)} scales nothing"
        elif "replicas" in found[0]["spec"]:
            yield f"{title(found[0])} has a number of its own, which each apply sets again"
    for backend in _backends(manifests):
        if backend["name"] not in _names(manifests, "Service"):
            yield f"Ingress leads to no Service {backend['name']}"
        elif backend["port"]["name"] not in _port_names(named(manifests, "Service", backend["name"])):
            yield f"Ingress leads to a port {backend['port']['name']} that Service {backend['name']} has not"
    for monitor in of_kind(manifests, "ServiceMonitor"):
        spec = monitor["spec"]
        seen = {
            one["metadata"]["labels"][spec["jobLabel"]]
            for one in of_kind(manifests, "Service")
            if matches(spec["selector"], one["metadata"]["labels"])
            and {endpoint["port"] for endpoint in spec["endpoints"]} <= _port_names(one)
        }
        if seen != set(SERVICES):
            yield f"{title(monitor)} scrapes {sorted(seen)}"


def _names(manifests: Manifests, kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in of_kind(manifests, kind)}


def _port_names(service: Manifest) -> set[str]:
    return {port["name"] for port in service["spec"]["ports"]}


def _backends(manifests: Manifests) -> Iterator[Manifest]:
    for ingress in of_kind(manifests, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            yield from (path["backend"]["service"] for path in rule["http"]["paths"])
