"""`gaitway rollout`: changes of the roll-out file, each with a check of the bundle that becomes live or the shadow."""

from pathlib import Path

from gaitway.errors import CommandError
from shared.contracts.errors import BundleError
from shared.model.bundle import LoadedModel, load_bundle
from shared.model.rollout import RollOut, folder_of, name_of, read_rollout, write_rollout
from shared.model.trial import try_out


def verify(bundle: Path) -> LoadedModel:
    """Load a bundle and try it on a window of zeros; raises BundleError."""
    model = load_bundle(bundle)
    try:
        try_out(model)
    except BundleError as error:
        raise BundleError(f"{bundle}: {error}") from error
    return model


def create(path: Path, live: Path) -> RollOut:
    """Write a new file with a live bundle; raises BundleError, and CommandError where there is a file already."""
    if path.exists():
        raise CommandError(f"{path}: there is such a file already")
    verify(live)
    return _write(path, RollOut(name_of(path, live)))


def set_shadow(path: Path, shadow: Path | None) -> RollOut:
    """Replace the shadow, or end it with None; raises BundleError, also for a shadow that has the live one's name."""
    rollout = read_rollout(path)
    if shadow is None:
        return _write(path, RollOut(rollout.live, None, rollout.previous))
    name = verify(shadow).name_version
    if name == verify(folder_of(path, rollout.live)).name_version:
        raise BundleError(f"{shadow}: {name} is the live bundle's name; give a new bundle a new version")
    return _write(path, RollOut(rollout.live, name_of(path, shadow), rollout.previous))


def promote(path: Path) -> RollOut:
    """Make the shadow the live bundle; raises BundleError."""
    return _go_live(path, read_rollout(path).promoted())


def roll_back(path: Path) -> RollOut:
    """Make the previous bundle the live one; raises BundleError."""
    return _go_live(path, read_rollout(path).rolled_back())


def _go_live(path: Path, rollout: RollOut) -> RollOut:
    verify(folder_of(path, rollout.live))
    return _write(path, rollout)


def _write(path: Path, rollout: RollOut) -> RollOut:
    write_rollout(path, rollout)
    return rollout
