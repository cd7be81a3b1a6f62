"""The error that ends a command because of an input or a dependency."""


class CommandError(RuntimeError):
    """An expected failure, printed as one line: a port in use, a broker that does not answer, a refused upload."""
