"""What a command ends with when something outside the code is wrong."""


class CommandError(RuntimeError):
    """A failure that is told in one clear line: a port in use, a broker that does not answer, a refused upload."""
