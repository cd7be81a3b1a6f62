"""Errors of the embedded stack."""

from gaitway.errors import CommandError


class StackError(CommandError):
    """A server of the embedded stack cannot run; the message is one line, the log's last lines are its notes."""


def missing_package(name: str) -> StackError:
    """Name the package that an import did not find, and how to get it."""
    return StackError(f"{name} is not installed; in the checkout: pip install -e '.[embedded]'")
