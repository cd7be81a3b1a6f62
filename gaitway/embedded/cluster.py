"""Three Apache Kafka nodes that replicate, to test the loss of one of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gaitway.embedded.kafka import KafkaBroker, make_cluster_id
from gaitway.embedded.ports import free_port

REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
}


class KafkaNode(KafkaBroker):
    """One node, broker and controller, of a cluster whose members know all controllers from the start."""

    def __init__(
        self,
        data_dir: Path | str,
        *,
        node_id: int,
        cluster_id: str,
        controller_ports: Sequence[int],
        properties: Mapping[str, str],
    ) -> None:
        super().__init__(data_dir, properties=properties)
        self.name = f"Apache Kafka, node {node_id}"
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._controllers = [f"{self.host}:{port}" for port in controller_ports]

    def _listeners(self) -> dict[str, str]:
        voters = ",".join(f"{number}@{address}" for number, address in enumerate(self._controllers, 1))
        return {
            "node.id": str(self._node_id),
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{self._controllers[self._node_id - 1]}",
            "controller.quorum.voters": voters,
        }

    def _format_options(self) -> list[str]:
        return ["-t", self._cluster_id]


def three_nodes(folder: Path, properties: Mapping[str, str]) -> list[KafkaNode]:
    """Three nodes with topics in three replicas, two of which must have a record before it is acknowledged.

    They become ready together: start them concurrently.
    """
    cluster_id, ports = make_cluster_id(), [free_port() for _ in range(3)]
    return [
        KafkaNode(
            folder / f"node-{node_id}",
            node_id=node_id,
            cluster_id=cluster_id,
            controller_ports=ports,
            properties={**REPLICATED, **properties},
        )
        for node_id in (1, 2, 3)
    ]
