"""The roll-out file: which bundle is live, which is its shadow, which was live before (architecture.md, section 10)."""

import os
import tempfile
from pathlib import Path

import msgspec

from shared.contracts.errors import BundleError
from shared.model.bundle import read_manifest


class RollOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of the file; each bundle is a folder, relative to the file's own folder or absolute."""

    live: str
    shadow: str | None = None
    previous: str | None = None

    def promoted(self) -> "RollOut":
        """Return the state with the shadow as the live bundle; raises BundleError without a shadow."""
        if self.shadow is None:
            raise BundleError("there is no shadow to promote")
        return RollOut(live=self.shadow, previous=self.live)

    def rolled_back(self) -> "RollOut":
        """Return the state with the previous bundle as the live one; raises BundleError without one."""
        if self.previous is None:
            raise BundleError("there is no previous bundle to roll back to")
        # A shadow that was set meanwhile goes on, unless it is what becomes live.
        return RollOut(live=self.previous, shadow=self.shadow if self.shadow != self.previous else None)


def read_rollout(path: Path) -> RollOut:
    """Read the file.

    Raises:
        BundleError: it is missing or is no roll-out file.
    """
    try:
        return decode_rollout(path, path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error


def decode_rollout(path: Path, data: bytes) -> RollOut:
    """Decode the content of the file ``path``; raises BundleError."""
    try:
        return msgspec.json.decode(data, type=RollOut)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: {error}") from error


def write_rollout(path: Path, rollout: RollOut) -> None:
    """Replace the file in one step, so that a reader sees the old or the new content, never a part; raises OSError."""
    text = msgspec.json.format(msgspec.json.encode(rollout), indent=2) + b"\n"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # The service may run as another user than the operator.
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def folder_of(path: Path, bundle: str) -> Path:
    """Return the folder of a bundle that the roll-out file ``path`` names."""
    return path.parent / bundle


def name_of(path: Path, bundle: Path) -> str:
    """Return how the roll-out file ``path`` names a bundle's folder; the inverse of ``folder_of``."""
    return os.path.relpath(bundle.resolve(), path.parent.resolve())


def describe(path: Path, rollout: RollOut) -> list[str]:
    """Return one line per role: the folder, and the name and version in its manifest or the fault."""
    lines = []
    for role, bundle in (("live", rollout.live), ("shadow", rollout.shadow), ("previous", rollout.previous)):
        if bundle is None:
            lines.append(f"{role:<8} none")
            continue
        try:
            manifest = read_manifest(folder_of(path, bundle))
            lines.append(f"{role:<8} {bundle} ({manifest.name}@{manifest.version})")
        except BundleError as error:
            lines.append(f"{role:<8} {bundle} (does not fit: {error})")
    return lines
