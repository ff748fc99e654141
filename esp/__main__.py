"""The command ``merpati``, also as ``python -m esp``."""

import sys
from importlib import import_module

from esp.inbound import classify


def main() -> None:
    """Run the command; ``classify``, which is a filter that scripts start often, without the rest of the program."""
    words = sys.argv[1:]
    if words[:1] == ["classify"] and set(words[1:]) <= {"--replies"}:
        classify.run("--replies" in words)
    else:
        import_module("esp.cli").main()


if __name__ == "__main__":
    main()
