"""The `lobset` command."""

import sys

from lobset import _lobset


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    sys.exit(_lobset.command(["lobset", *sys.argv[1:]]))
