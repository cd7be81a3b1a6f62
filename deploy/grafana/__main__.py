"""`make dashboards`: write the dashboards' JSON to the folder that Grafana's provisioning reads."""

from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.data_quality import data_quality
from deploy.grafana.gateway import gateway
from deploy.grafana.model import model
from deploy.grafana.overview import overview
from deploy.grafana.pipeline import pipeline

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, str]:
    """The JSON of each dashboard by file name."""
    return dict(_encoded(build()) for build in (overview, gateway, pipeline, data_quality, model))


def _encoded(board: Dashboard) -> tuple[str, str]:
    built = board.build()
    return f"{built.uid}.json", JSONEncoder(sort_keys=True, indent=2).encode(built) + "\n"


def main() -> None:
    """Write all dashboards and remove old ones."""
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
