"""The rules of config/bounces.toml, parsed once: ordered, each compiled to one test."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from esp.errors import SettingsError
from esp.model.attempt import Phase
from esp.model.shipped import shipped
from esp.model.verdict import Permanence, Reason, Scope
from esp.verdict.needles import needles

_KEYS: Final = frozenset(
    {"name", "case", "codes", "enhanced", "text", "phases", "scope", "permanence", "reason", "samples", "sample_phase"}
)


@dataclass(frozen=True, slots=True)
class Texts:
    """Patterns of which any may match, each with the words that it cannot match without (None: not known)."""

    patterns: tuple[tuple[frozenset[str] | None, re.Pattern[str]], ...]

    def search(self, text: str) -> bool:
        """Whether any pattern is found in ``text``."""
        present = _present(text)
        return any(
            (words is None or not words.isdisjoint(present)) and pattern.search(text) is not None
            for words, pattern in self.patterns
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table. ``permanence`` None means: as the code's first digit says."""

    name: str
    case: str
    codes: re.Pattern[str] | None
    enhanced: re.Pattern[str] | None
    text: Texts | None
    phases: frozenset[Phase]
    scope: Scope
    permanence: Permanence | None
    reason: Reason
    samples: tuple[str, ...]
    sample_phase: Phase

    def fits(self, code: str, detail: str, text: str, phase: Phase) -> bool:
        """``detail`` is the enhanced code without its class; ``text`` is normalised as the file's head says."""
        return (
            (self.codes is None or self.codes.fullmatch(code) is not None)
            and (not self.phases or phase in self.phases)
            and (self.enhanced is None or self.enhanced.fullmatch(detail) is not None)
            and (self.text is None or self.text.search(text))
        )


def _compiled(patterns: Any) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None


def _texts(patterns: Iterable[str]) -> Texts | None:
    found = tuple((_kept(needles(pattern)), re.compile(pattern)) for pattern in patterns)
    return Texts(found) if found else None


# Every word that some rule of the process looks for. A search for a plain word costs a fiftieth of one for a pattern,
# so each text is first looked through for all of them, once.
_ALL: Final[set[str]] = set()


def _kept(words: frozenset[str] | None) -> frozenset[str] | None:
    _ALL.update(words or ())
    return words


@lru_cache(maxsize=16)
def _present(text: str) -> frozenset[str]:
    return frozenset(word for word in _ALL if word in text)


def _enhanced(codes: Any) -> re.Pattern[str] | None:
    return _compiled([re.escape(code).replace(r"\*", r"\d{1,3}") for code in codes])


def parse_rules(data: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Rules from parsed TOML, in order; raises SettingsError naming the rule that cannot be read."""
    rules: list[Rule] = []
    for table in data.get("rule", ()):
        name = str(table.get("name", f"number {len(rules) + 1}"))
        if not table.keys() <= _KEYS:
            wrong = ", ".join(sorted(table.keys() - _KEYS))
            known = ", ".join(sorted(_KEYS))
            raise SettingsError(f"bounces.toml: rule {name}: there is no key {wrong}; there are {known}.")
        try:
            permanence = table["permanence"]
            rules.append(Rule(
                name, table["case"], _compiled(table.get("codes", ())), _enhanced(table.get("enhanced", ())),
                _texts(table.get("text", ())), frozenset(map(Phase, table.get("phases", ()))), Scope(table["scope"]),
                None if permanence == "as_code" else Permanence(permanence), Reason(table["reason"]),
                tuple(table["samples"]), Phase(table.get("sample_phase", Phase.RCPT)),
            ))
        except KeyError as error:
            raise SettingsError(f"bounces.toml: rule {name}: the key {error} is missing.") from None
        except (ValueError, TypeError, re.error) as error:
            raise SettingsError(f"bounces.toml: rule {name}: {error}") from None
    return tuple(rules)


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """The shipped rules."""
    return parse_rules(tomllib.loads(shipped("bounces.toml")))


@lru_cache(maxsize=1)
def version() -> str:
    """Which rule set this is: stands with every judgement, so that one can tell by which it was made."""
    return sha256(shipped("bounces.toml").encode()).hexdigest()[:12]
