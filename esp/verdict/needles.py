"""The words that a regular expression cannot match without: looked for first, for a plain search costs much less."""

import re
from collections.abc import Iterator
from typing import Any, Final

_SHORTEST: Final = 3  # shorter ones are in nearly every text

# The parser of ``re`` knows what a pattern means; it has had this shape since Python 2, under changing names.
_parse: Final = re._parser.parse  # type: ignore[attr-defined]


def needles(pattern: str) -> frozenset[str] | None:
    """Literals of which every match of ``pattern`` contains at least one; None where there are none that would help."""
    return _needles(_parse(pattern))


def _needles(tokens: Any) -> frozenset[str] | None:
    found = [words for words in _candidates(tokens) if words and min(map(len, words)) >= _SHORTEST]
    return max(found, key=lambda words: (min(map(len, words)), -len(words)), default=None)


def _candidates(tokens: Any) -> Iterator[frozenset[str] | None]:
    run = ""
    for operation, argument in tokens:
        name = str(operation)
        if name == "LITERAL":
            run += chr(argument)
            continue
        yield frozenset((run,))
        run = ""
        if name == "SUBPATTERN" or (name == "MAX_REPEAT" and argument[0] >= 1):
            yield _needles(argument[-1])
        elif name == "BRANCH":
            branches = [_needles(branch) for branch in argument[1]]
            yield frozenset().union(*(branch or () for branch in branches)) if all(branches) else None
    yield frozenset((run,))
