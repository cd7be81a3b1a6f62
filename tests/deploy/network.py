"""Which connections the NetworkPolicies of some manifests leave open."""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from itertools import product

from tests.deploy.manifests import Manifest, Manifests, component, matches, of_kind, pod, ports, workloads

Flow = tuple[str, str, str]
"""From, to, port and protocol."""


@dataclass(frozen=True)
class Peer:
    """A pod of ours (``namespace`` is None), one of another namespace, or an address outside."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    namespace: dict[str, str] | None = None
    address: str | None = None
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        return self.namespace is None and self.address is None


def our_pods(manifests: Manifests) -> list[Peer]:
    return [Peer(component(one), pod(one)["metadata"]["labels"], ports=ports(one)) for one in workloads(manifests)]


def flows(manifests: Manifests, outside: list[Peer]) -> set[Flow]:
    """All that may be opened between our pods, and between them and ``outside``, at any port that anybody has."""
    policies = of_kind(manifests, "NetworkPolicy")
    peers = [*our_pods(manifests), *outside]
    numbers = {(number, "TCP") for peer in peers for number in peer.ports.values()} | {(53, "UDP"), (443, "TCP")}
    return {
        (source.name, target.name, f"{number}/{protocol}")
        for source, target, (number, protocol) in product(peers, peers, numbers)
        if source is not target
        and (source.ours or target.ours)
        and _open(policies, source, target, number, protocol, "egress")
        and _open(policies, source, target, number, protocol, "ingress")
    }


def _open(policies: Manifests, source: Peer, target: Peer, number: int, protocol: str, way: str) -> bool:
    here, there = (source, target) if way == "egress" else (target, source)
    if not here.ours:
        return True  # not for our policies to say
    mine = [
        policy["spec"]
        for policy in policies
        if way.capitalize() in policy["spec"]["policyTypes"] and matches(policy["spec"]["podSelector"], here.labels)
    ]
    rules = [rule for spec in mine for rule in spec.get(way, [])]
    return not mine or any(
        _peer(rule.get("to" if way == "egress" else "from"), there)
        and _port(rule.get("ports"), target, number, protocol)
        for rule in rules
    )


def _peer(wanted: list[Manifest] | None, peer: Peer) -> bool:
    return not wanted or any(_one(one, peer) for one in wanted)


def _one(wanted: Manifest, peer: Peer) -> bool:
    if "ipBlock" in wanted:
        return peer.address is not None and ip_address(peer.address) in ip_network(wanted["ipBlock"]["cidr"])
    if peer.address is not None:
        return False
    if "namespaceSelector" in wanted:
        there = peer.namespace is not None and matches(wanted["namespaceSelector"], peer.namespace)
    else:
        there = peer.ours
    return there and matches(wanted.get("podSelector", {}), peer.labels)


def _port(wanted: list[Manifest] | None, target: Peer, number: int, protocol: str) -> bool:
    return not wanted or any(
        one.get("protocol", "TCP") == protocol and target.ports.get(one["port"], one["port"]) == number
        for one in wanted
    )
