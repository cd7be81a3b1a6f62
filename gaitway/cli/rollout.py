"""The commands `gaitway bundle` and `gaitway rollout`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shared.model.rollout import RollOut

bundle_app = typer.Typer(help="Check model bundles.", no_args_is_help=True)
rollout_app = typer.Typer(
    help="Change which bundle inference runs, by its roll-out file (GAITWAY_ROLLOUT). Workers follow within seconds.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(help="The roll-out file.")]
Bundle = Annotated[Path, typer.Argument(help="Folder of a model bundle.")]


@bundle_app.command("verify")
def verify_bundle(bundle: Bundle) -> None:
    """Check whether inference would take a bundle: files, checksum, features, labels, finite outputs.

    Exit code 1 with one line that names the fault if not.
    """
    import torch

    from gaitway.rollout import verify
    from shared.model.trial import BATCH, measure_window_s

    torch.set_num_threads(1)  # as a worker does by default
    model = verify(bundle)
    typer.echo(f"{model.name_version}: {model.label_set}, {', '.join(model.classes)}")
    typer.echo(f"{measure_window_s(model) * 1e6:.0f} µs per window in a batch of {BATCH}")


@rollout_app.command("create")
def create_rollout(file: File, live: Bundle) -> None:
    """Write a new roll-out file with LIVE as the live bundle."""
    from gaitway.rollout import create

    _print(file, create(file, live))


@rollout_app.command("status")
def print_status(file: File) -> None:
    """Print which bundle is live, which is the shadow and which was live before; exit code 1 if one does not fit."""
    from gaitway.rollout import verify
    from shared.model.rollout import folder_of, read_rollout

    rollout = read_rollout(file)
    _print(file, rollout)
    for bundle in filter(None, (rollout.live, rollout.shadow, rollout.previous)):
        verify(folder_of(file, bundle))


@rollout_app.command("shadow")
def set_rollout_shadow(
    file: File,
    bundle: Annotated[Path | None, typer.Argument(help="Folder of the bundle.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Run no shadow.")] = False,
) -> None:
    """Run BUNDLE as the shadow: it classifies what the live bundle does, onto activity.events.shadow."""
    from gaitway.errors import CommandError
    from gaitway.rollout import set_shadow

    if (bundle is None) != none:
        raise CommandError("give either a bundle or --none")
    _print(file, set_shadow(file, bundle))


@rollout_app.command("promote")
def promote_shadow(file: File) -> None:
    """Make the shadow the live bundle."""
    from gaitway.rollout import promote

    _print(file, promote(file))


@rollout_app.command("rollback")
def roll_back_live(file: File) -> None:
    """Make the bundle live again that was live before the last promotion."""
    from gaitway.rollout import roll_back

    _print(file, roll_back(file))


def _print(file: Path, rollout: "RollOut") -> None:
    from shared.model.rollout import describe

    for line in describe(file, rollout):
        typer.echo(line)
