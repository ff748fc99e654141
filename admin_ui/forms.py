"""Forms: what was typed, what is wrong with it in words beside the field, and the checked value when all is well."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Self, TypeVar

from multidict import MultiMapping
from pydantic import BaseModel, ConfigDict, ValidationError

from admin_ui.words import _
from esp.errors import InputError

# pydantic's error types in words that a marketer understands; ``{limit}`` comes from the error's context.
_WORDS: Final[Mapping[str, str]] = {
    "missing": "This is needed.",
    "string_too_short": "This is needed.",
    "string_too_long": "At most {max_length} characters.",
    "too_short": "Choose at least one.",
    "int_parsing": "Write a whole number.",
    "int_from_float": "Write a whole number.",
    "float_parsing": "Write a number.",
    "greater_than": "More than {gt}.",
    "greater_than_equal": "At least {ge}.",
    "less_than": "Less than {lt}.",
    "less_than_equal": "At most {le}.",
    "enum": "Choose one of the list.",
    "literal_error": "Choose one of the list.",
    "datetime_from_date_parsing": "Write a date and a time.",
    "datetime_parsing": "Write a date and a time.",
    "bool_parsing": "Choose yes or no.",
}


class FormModel(BaseModel):
    """Base of form models: blanks around texts are dropped, unknown fields (buttons, the token) are ignored."""

    model_config = ConfigDict(str_strip_whitespace=True, extra="ignore", frozen=True)


M = TypeVar("M", bound=FormModel)


@dataclass(slots=True)
class Form(Generic[M]):
    """``values`` as typed, ``problems`` by field name (``""``: about the whole), ``data`` once everything is right."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    data: M | None = None

    @classmethod
    def blank(cls, **values: Any) -> Self:
        """A form not yet sent, with what its fields begin with."""
        return cls(values)

    @classmethod
    def read(cls, model: type[M], posted: MultiMapping[Any]) -> Self:
        """Check what was posted. A field that the model wants as a list gets every value of that name."""
        values: dict[str, Any] = {}
        for name, about in model.model_fields.items():
            if str(about.annotation).startswith(("list", "tuple", "frozenset")):
                values[name] = posted.getall(name, [])
            elif name in posted:
                one = posted[name]
                # Nobody can type a NUL, and PostgreSQL takes none.
                values[name] = one.replace("\0", "") if isinstance(one, str) else one
        try:
            return cls(values, {}, model.model_validate(values))
        except ValidationError as error:
            return cls(values, {str(one["loc"][0]) if one["loc"] else "": _words(dict(one)) for one in error.errors()})

    def blame(self, error: InputError) -> Self:
        """Put an InputError's problems beside their fields, or its message above the form."""
        self.problems |= error.problems or {"": str(error)}
        return self

    def value(self, name: str) -> Any:
        return self.values.get(name, "")

    def problem(self, name: str) -> str:
        return self.problems.get(name, "")


def _words(error: dict[str, Any]) -> str:
    context = error.get("ctx") or {}
    if error["type"] == "value_error":
        return str(context.get("error", error["msg"]))
    text = _(_WORDS.get(error["type"], "This cannot be used as it is."))
    return text.format(**context) if "{" in text else text
