"""deploy/k8s, rendered by Kustomize and held against Kubernetes' schemas, the services' settings and policies."""

import copy
import re
import tomllib
from collections.abc import Callable, Iterator

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

from deploy.k8s.rules import prometheus_rules
from gaitway.canary.settings import CanarySettings
from gaitway.embedded import KAFKA_VERSION
from services.features.settings import FeaturesSettings
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from shared.contracts import topics
from shared.runtime.environment import PREFIX
from shared.runtime.health import Health, health_routes
from shared.runtime.settings import ServiceSettings
from tests.deploy import policies
from tests.deploy.manifests import (
    K8S,
    PROJECT,
    Manifest,
    Manifests,
    component,
    named,
    of_kind,
    pod,
    ports,
    render,
    render_with_components,
    workloads,
)
from tests.deploy.network import Flow, Peer, flows

OLDEST, NEWEST = "1.32", "1.37"
SETTINGS: dict[str, type[ServiceSettings]] = {
    "ingest": IngestSettings,
    "features": FeaturesSettings,
    "inference": InferenceSettings,
    "canary": CanarySettings,
}
CUSTOM = {"ScaledObject": ScaledObject, "PrometheusRule": PrometheusRule, "ServiceMonitor": ServiceMonitor}
SECRET_VALUES = {"gaitway-jwt": "k" * 32, "gaitway-redis": "rediss://:password@redis.example.internal:6379/0"}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifests]:
    return {
        "dev": render(K8S / "overlays" / "dev"),
        "prod": render(K8S / "overlays" / "prod"),
        "prod with components": render_with_components(tmp_path_factory.mktemp("kustomize")),
    }


@pytest.fixture(params=["dev", "prod", "prod with components"])
def manifests(request: pytest.FixtureRequest, rendered: dict[str, Manifests]) -> Manifests:
    return rendered[request.param]


@pytest.fixture
def full(rendered: dict[str, Manifests]) -> Manifests:
    """A copy of all there is, to break."""
    return copy.deepcopy(rendered["prod with components"])


# The schemas.


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_api_server_would_take_every_manifest(manifests: Manifests, version: str) -> None:
    for one in manifests:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("field", [("replica", 3), ("replicas", "three")])
def test_a_wrong_field_is_refused(full: Manifests, field: tuple[str, object]) -> None:
    features = named(full, "StatefulSet", "features")
    features["spec"][field[0]] = field[1]
    with pytest.raises(
        kubernetes_validate.ValidationError, match=str(field[1] if field[0] == "replicas" else field[0])
    ):
        kubernetes_validate.validate(features, NEWEST, strict=True)


def unknown_fields(one: Manifest) -> object:
    """What the operators' own types do not know of a custom resource; None if nothing. Raises on a wrong type."""
    known = CUSTOM[one["kind"]].model_validate(one).model_dump(by_alias=True, exclude_unset=True, mode="json")
    return None if known == one else one


def test_the_operators_know_every_field(rendered: dict[str, Manifests]) -> None:
    custom = of_kind(rendered["prod with components"], *CUSTOM)
    assert {one["kind"] for one in custom} == set(CUSTOM)
    assert [unknown_fields(one) for one in custom] == [None] * len(custom)


def test_an_unknown_field_of_a_custom_resource_is_seen(full: Manifests) -> None:
    for kind in CUSTOM:
        one = of_kind(full, kind)[0]
        one["spec"]["pollInterval"] = 30
        assert unknown_fields(one) is not None


# The policies, each with manifests that break it.

Break = Callable[[Manifests], object]


def _spec(manifests: Manifests, name: str = "features") -> Manifest:
    return pod(next(one for one in workloads(manifests) if one["metadata"]["name"] == name))["spec"]


def _container(manifests: Manifests, name: str = "features") -> Manifest:
    return _spec(manifests, name)["containers"][0]


def _service(manifests: Manifests) -> Manifest:
    return named(manifests, "Service", "features")


BROKEN: list[tuple[Callable[[Manifests], Iterator[str]], Break, str]] = [
    (policies.namespaces, lambda m: m[0]["metadata"]["labels"].clear(), "does not enforce"),
    (policies.namespaces, lambda m: _service(m)["metadata"].pop("namespace"), "is in namespace None"),
    (policies.confined, lambda m: _spec(m)["securityContext"].pop("runAsNonRoot"), "may run as root"),
    (policies.confined, lambda m: _spec(m)["securityContext"].update(runAsUser=0), "may run as root"),
    (policies.confined, lambda m: _container(m)["securityContext"].update(runAsUser=0), "may run as root"),
    (policies.confined, lambda m: _spec(m)["securityContext"].pop("seccompProfile"), "seccomp"),
    (policies.confined, lambda m: _spec(m).pop("automountServiceAccountToken"), "token"),
    (policies.confined, lambda m: _spec(m).pop("enableServiceLinks"), "variables"),
    (policies.confined, lambda m: _spec(m).update(hostNetwork=True), "host's namespaces"),
    (policies.confined, lambda m: _spec(m)["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "mounts x"),
    (policies.confined, lambda m: _container(m)["securityContext"].update(privileged=True), "gain privileges"),
    (policies.confined, lambda m: _container(m)["securityContext"].pop("allowPrivilegeEscalation"), "gain privileges"),
    (policies.confined, lambda m: _container(m)["securityContext"].pop("capabilities"), "capabilities"),
    (policies.confined, lambda m: _container(m)["securityContext"].pop("readOnlyRootFilesystem"), "write to its image"),
    (policies.confined, lambda m: _container(m)["ports"][0].update(hostPort=8082), "port of the host"),
    (policies.bounded, lambda m: _container(m)["resources"]["limits"].pop("memory"), "no limits of memory"),
    (policies.bounded, lambda m: _container(m).pop("resources"), "no requests of cpu, memory"),
    (policies.pinned, lambda m: _container(m).update(image="gaitway/features"), "runs gaitway/features"),
    (policies.pinned, lambda m: _container(m).update(image="gaitway/features:latest"), "latest"),
    (policies.secretless, lambda m: m.append({"kind": "Secret", "metadata": {"name": "x"}}), "holds a secret"),
    (
        policies.secretless,
        lambda m: _container(m, "ingest")["env"].append({"name": "GAITWAY_JWT_KEY", "value": "k" * 32}),
        "GAITWAY_JWT_KEY is a secret in the open",
    ),
    (
        policies.secretless,
        lambda m: _container(m)["env"].append({"name": "GAITWAY_REDIS", "value": "redis://:word@redis:6379"}),
        "GAITWAY_REDIS is a secret in the open",
    ),
    (
        policies.secretless,
        lambda m: of_kind(m, "ConfigMap")[0]["data"].update(GAITWAY_TOKEN="t"),
        "GAITWAY_TOKEN is a secret in the open",
    ),
    (
        policies.secretless,
        lambda m: _container(m)["env"].append({"name": "A", "valueFrom": {"secretKeyRef": {"name": "b", "key": "c"}}}),
        "unknown secret b",
    ),
    (policies.probed, lambda m: _container(m).pop("livenessProbe"), "no livenessProbe"),
    (policies.probed, lambda m: _container(m)["readinessProbe"]["httpGet"].update(port="metrics"), "no readinessProbe"),
    (policies.probed, lambda m: _container(m)["readinessProbe"]["httpGet"].update(path="/healthz"), "asks /healthz"),
    (policies.probed, lambda m: _spec(m).update(terminationGracePeriodSeconds=10), "no time to stop"),
    (
        policies.connected,
        lambda m: named(m, "Deployment", "ingest")["spec"]["selector"]["matchLabels"].update(a="b"),
        "own",
    ),
    (policies.connected, lambda m: _container(m)["envFrom"][0]["configMapRef"].update(name="x"), "no ConfigMap x"),
    (policies.connected, lambda m: _spec(m)["topologySpreadConstraints"][0].update(matchLabelKeys=["x"]), "spreads"),
    (policies.connected, lambda m: _service(m)["spec"]["selector"].update(a="b"), "Service features selects []"),
    (policies.connected, lambda m: _service(m)["spec"]["ports"][0].update(targetPort="metrics"), "sends to metrics"),
    (policies.connected, lambda m: _service(m)["spec"].pop("clusterIP"), "no headless Service"),
    (policies.connected, lambda m: m.remove(_service(m)), "StatefulSet features has no Service"),
    (
        policies.connected,
        lambda m: of_kind(m, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"].update(a="b"),
        "is about no pod",
    ),
    (
        policies.connected,
        lambda m: named(m, "NetworkPolicy", "to-redis")["spec"]["podSelector"]["matchLabels"].update(a="b"),
        "NetworkPolicy to-redis is about no pod",
    ),
    (
        policies.connected,
        lambda m: named(m, "ScaledObject", "features")["spec"]["scaleTargetRef"].update(kind="Deployment"),
        "scales nothing",
    ),
    (policies.connected, lambda m: named(m, "Deployment", "ingest")["spec"].update(replicas=3), "a number of its own"),
    (policies.connected, lambda m: m.remove(named(m, "Service", "ingest")), "leads to no Service ingest"),
    (
        policies.connected,
        lambda m: named(m, "Service", "ingest")["spec"]["ports"][0].update(name="web"),
        "leads to a port",
    ),
    (
        policies.connected,
        lambda m: _service(m)["metadata"]["labels"].clear(),
        "scrapes ['canary', 'inference', 'ingest']",
    ),
]


@pytest.mark.parametrize("policy", sorted({one[0] for one in BROKEN}, key=lambda one: one.__name__))
def test_policy_holds(manifests: Manifests, policy: Callable[[Manifests], Iterator[str]]) -> None:
    assert list(policy(manifests)) == []


@pytest.mark.parametrize(("policy", "breaks", "fault"), BROKEN, ids=[f"{one[0].__name__}: {one[2]}" for one in BROKEN])
def test_policy_sees(full: Manifests, policy: Callable[[Manifests], Iterator[str]], breaks: Break, fault: str) -> None:
    breaks(full)
    assert any(fault in line for line in policy(full))


# The services' settings.


def environment(workload: Manifest, manifests: Manifests) -> dict[str, str]:
    """What a pod's process would find, with made-up secrets."""
    (container,) = pod(workload)["spec"]["containers"]
    found = dict(named(manifests, "ConfigMap", container["envFrom"][0]["configMapRef"]["name"])["data"])
    for variable in container.get("env", []):
        source = variable.get("valueFrom", {})
        if "secretKeyRef" in source:
            found[variable["name"]] = SECRET_VALUES[source["secretKeyRef"]["name"]]
        elif "fieldRef" in source:
            assert source["fieldRef"]["fieldPath"] == "metadata.name"
            found[variable["name"]] = f"{workload['metadata']['name']}-0"
        else:
            found[variable["name"]] = variable["value"]
    return found


def settings_of(name: str, manifests: Manifests) -> ServiceSettings:
    """What a service would read; names that it has no setting for are an error here."""
    (workload,) = (one for one in workloads(manifests) if component(one) == name)
    values = {key.removeprefix(PREFIX).lower(): value for key, value in environment(workload, manifests).items()}
    assert set(values) <= set(SETTINGS[name].model_fields), f"{name} has no such settings"
    return SETTINGS[name].read(**values)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_a_setting_and_the_ports_are_the_settings(manifests: Manifests, name: str) -> None:
    settings = settings_of(name, manifests)
    (workload,) = (one for one in workloads(manifests) if component(one) == name)
    gateway = isinstance(settings, IngestSettings)
    assert ports(workload) == {"http": settings.port if gateway else settings.health_port}
    assert (settings.host if gateway else settings.health_host) == "0.0.0.0"


def test_a_variable_that_is_no_setting_is_seen(full: Manifests) -> None:
    _container(full)["env"].append({"name": "GAITWAY_GRACE_SECONDS", "value": "60"})
    with pytest.raises(AssertionError, match="no such settings"):
        settings_of("features", full)


def test_the_probes_ask_for_what_the_services_answer() -> None:
    assert {"/metrics", "/healthz", "/readyz"} <= {route.path for route in health_routes(Health())}


def test_workers_have_stable_names_and_partitions(manifests: Manifests) -> None:
    for name in ("features", "inference"):
        workload = named(manifests, "StatefulSet", name)
        settings = settings_of(name, manifests)
        assert settings.instance == f"{name}-0"
        assert workload["spec"]["podManagementPolicy"] == "Parallel"
        most = [one["spec"]["maxReplicaCount"] for one in of_kind(manifests, "ScaledObject")]
        assert max([workload["spec"].get("replicas", 1), *most]) <= settings.partitions


def test_the_canary_reaches_the_gateway_by_its_service(manifests: Manifests) -> None:
    service = named(manifests, "Service", "ingest")
    assert service["spec"]["ports"][0]["port"] == 80
    settings = settings_of("canary", manifests)
    assert isinstance(settings, CanarySettings)
    assert settings.gateway == "http://ingest"


def test_production_keeps_three_copies(rendered: dict[str, Manifests]) -> None:
    settings = settings_of("features", rendered["prod"])
    assert settings.replication_factor == 3
    assert len(settings.kafka.split(",")) == 3


def test_lag_is_that_of_the_services_own_groups(rendered: dict[str, Manifests]) -> None:
    read = {"features": topics.SAMPLE_TOPICS["accelerometer"].name, "inference": topics.WINDOWS.name}
    scaled = of_kind(rendered["prod with components"], "ScaledObject")
    triggers = {one["metadata"]["name"]: one["spec"]["triggers"][0]["metadata"] for one in scaled}
    assert {name: (one["consumerGroup"], one["topic"]) for name, one in triggers.items()} == {
        name: (name, topic) for name, topic in read.items()
    }
    assert {one["bootstrapServersFromEnv"] for one in triggers.values()} == {PREFIX + "KAFKA"}


# Who may talk to whom.

WORLD = [
    Peer("dns", {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"}, ports={"dns": 53}),
    Peer("prometheus", {}, {"kubernetes.io/metadata.name": "monitoring", "gaitway-scrape": "allowed"}),
    Peer("load balancer", {}, {"kubernetes.io/metadata.name": "ingress", "gaitway-ingress": "allowed"}),
    Peer("stranger", {"app.kubernetes.io/component": "canary"}, {"kubernetes.io/metadata.name": "default"}),
    Peer("internet", address="203.0.113.7"),
]
SCRAPES = {
    ("prometheus", name, port)
    for name, port in [
        ("ingest", "8080/TCP"),
        ("features", "8082/TCP"),
        ("inference", "8083/TCP"),
        ("canary", "8084/TCP"),
    ]
}
UPLOADS = {("load balancer", "ingest", "8080/TCP"), ("canary", "ingest", "8080/TCP")}


def to_dns(*pods: str) -> set[Flow]:
    return {(name, "dns", f"53/{protocol}") for name in pods for protocol in ("UDP", "TCP")}


def test_in_dev_nothing_else_is_open(rendered: dict[str, Manifests]) -> None:
    assert flows(rendered["dev"], WORLD) == (
        SCRAPES
        | UPLOADS
        | {(name, "kafka", "9092/TCP") for name in SETTINGS}
        | {("features", "redis", "6379/TCP")}
        | to_dns(*SETTINGS, "kafka", "redis")
    )


PROD_WORLD = [
    *WORLD,
    Peer("brokers", address="10.20.0.11", ports={"kafka": 9092}),
    Peer("redis", address="10.20.1.11", ports={"redis": 6379}),
]
PROD_FLOWS = (
    SCRAPES
    | UPLOADS
    | {(name, "brokers", "9092/TCP") for name in SETTINGS}
    | {("features", "redis", "6379/TCP")}
    | to_dns(*SETTINGS)
)


def test_in_prod_nothing_else_is_open(rendered: dict[str, Manifests]) -> None:
    assert flows(rendered["prod"], PROD_WORLD) == PROD_FLOWS


def with_a_newcomer(manifests: Manifests) -> Manifests:
    """And a pod that no policy knows."""
    newcomer = copy.deepcopy(named(manifests, "Deployment", "canary"))
    pod(newcomer)["metadata"]["labels"]["app.kubernetes.io/component"] = "newcomer"
    return [*manifests, newcomer]


def test_a_pod_that_no_policy_knows_may_only_look_names_up(full: Manifests) -> None:
    assert flows(with_a_newcomer(full), PROD_WORLD) == PROD_FLOWS | to_dns("newcomer")


@pytest.mark.parametrize(
    "name", ["default-deny", "to-dns", "from-prometheus", "to-ingest", "canary-to-ingest", "to-kafka", "to-redis"]
)
def test_every_network_policy_is_needed(full: Manifests, name: str) -> None:
    full.remove(named(full, "NetworkPolicy", name))
    assert flows(with_a_newcomer(full), PROD_WORLD) != PROD_FLOWS | to_dns("newcomer")


def test_the_internet_reaches_uploads_over_tls_and_no_metrics(manifests: Manifests) -> None:
    (ingress,) = of_kind(manifests, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    assert [one["hosts"] for one in ingress["spec"]["tls"]] == [[rule["host"]]]
    assert {(one["path"], one["pathType"]) for one in rule["http"]["paths"]} == {
        ("/v1/uploads", "Exact"),
        ("/openapi.json", "Exact"),
    }


# What is written down in two places.


def test_the_images_are_of_this_version(manifests: Manifests) -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    images = {component(one): pod(one)["spec"]["containers"][0]["image"] for one in workloads(manifests)}
    assert {name: images[name] for name in SETTINGS} == {name: f"gaitway/{name}:{version}" for name in SETTINGS}
    assert images.get("kafka", f"apache/kafka:{KAFKA_VERSION}") == f"apache/kafka:{KAFKA_VERSION}"


def test_the_prometheus_rules_are_those_of_prometheus(rendered: dict[str, Manifests]) -> None:
    assert {path: path.read_text() for path in prometheus_rules()} == prometheus_rules()
    groups = [g for one in of_kind(rendered["prod with components"], "PrometheusRule") for g in one["spec"]["groups"]]
    sources = sorted((PROJECT / "deploy" / "prometheus" / "rules").glob("*.yml"))
    assert groups == [group for source in sources for group in yaml.safe_load(source.read_text())["groups"]]


def test_the_operations_manual_tells_how_to_make_every_secret() -> None:
    manual = (PROJECT / "docs" / "operations.md").read_text()
    made = re.findall(r"create secret (?:generic|tls) (\S+)", manual)
    assert {"gaitway-tls", *(name for name, _ in policies.SECRETS)} <= set(made)
