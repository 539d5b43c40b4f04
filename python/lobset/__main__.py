"""`python -m lobset`: the `lobset` command."""

from lobset._command import main

main()
