"""``python -m esp`` is the command ``merpati``."""

from esp.cli import main

main()
