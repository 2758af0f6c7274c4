"""Optional packages: the error that names the extra to install when one is missing.

with extra("agents"):
    import torch
"""

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtra(ImportError):
    """A package that an extra would have brought is not installed."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import what the extra `name` brings; a package that is not there raises MissingExtra, which names the extra."""
    try:
        yield
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package in ("", "inspatio_gym"):
            raise
        raise MissingExtra(
            f'expected the package {package!r}, which is not installed: pip install "inspatio-gym[{name}]"',
            name=missing.name,
        ) from missing
