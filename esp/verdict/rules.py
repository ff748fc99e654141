"""The rules of config/bounces.toml, parsed once: ordered, each compiled to one test."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from esp.errors import SettingsError
from esp.model.attempt import Phase
from esp.model.shipped import shipped
from esp.model.verdict import Permanence, Reason, Scope

_KEYS: Final = frozenset(
    {"name", "case", "codes", "enhanced", "text", "phases", "scope", "permanence", "reason", "samples", "sample_phase"}
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table. ``permanence`` None means: as the code's first digit says."""

    name: str
    case: str
    codes: re.Pattern[str] | None
    enhanced: re.Pattern[str] | None
    text: re.Pattern[str] | None
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
            and (self.text is None or self.text.search(text) is not None)
        )


def _compiled(patterns: Any) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None


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
                _compiled(table.get("text", ())), frozenset(map(Phase, table.get("phases", ()))), Scope(table["scope"]),
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
