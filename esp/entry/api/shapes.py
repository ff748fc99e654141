"""What requests and answers are made of: strict models that validate and describe themselves."""

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar, get_args

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from esp.entry.api.problems import Problem
from esp.wire.addresses import AddressError, parse_address

_NUL: Final = "\x00"


class Given(BaseModel):
    """Base of what clients send: nothing is converted in silence, and nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Told(BaseModel):
    """Base of what we answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _said(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("Write the time with its zone, as in 2026-11-22T09:30:00Z.")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("The time is out of this world.") from None


#: A moment: RFC 3339 both ways; without a zone it is refused, for it would mean something else on another machine.
Moment = Annotated[datetime, PlainSerializer(_said, return_type=str), Field(json_schema_extra={"format": "date-time"})]
GivenMoment = Annotated[datetime, Field(strict=False), AfterValidator(_aware)]


def _address(text: str) -> str:
    try:
        parse_address(text)
    except AddressError as error:
        raise ValueError(str(error)) from None
    return text


def _one_line(text: str) -> str:
    # Every separator that str.splitlines knows: in a header each would begin a new line in somebody's eyes.
    if text.splitlines() not in ([text], []) or _NUL in text:
        raise ValueError("This must be a single line.")
    return text


EmailText = Annotated[str, Field(min_length=3, max_length=320, examples=["ayu@example.com"]), AfterValidator(_address)]
Line = Annotated[str, Field(max_length=500), AfterValidator(_one_line)]
ShortLine = Annotated[str, Field(max_length=120), AfterValidator(_one_line)]
PublicId = Annotated[str, Field(min_length=1, max_length=64)]
Limit = Annotated[int, Field(ge=1, le=200, description="How many at most, 1 to 200.")]
CursorText = Annotated[str, Field(max_length=600, description="The next of the page before; empty for the first.")]

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Page(Told, Generic[T]):
    """Some things, and where to go on."""

    data: list[T]
    next: str | None = Field(description="Send this as cursor for the next page; null at the end.")


class PageQuery(Given):
    limit: Limit = 50
    cursor: CursorText = ""


# pydantic's kinds of error in our words; ``{...}`` comes from the error's context. The others say what pydantic says.
_WORDS: Final = {
    "missing": "This is needed.",
    "string_type": "Expected text.",
    "int_type": "Expected a whole number.",
    "int_from_float": "Expected a whole number.",
    "float_type": "Expected a number.",
    "bool_type": "Expected true or false.",
    "list_type": "Expected a list.",
    "dict_type": "Expected an object.",
    "model_type": "Expected an object.",
    "model_attributes_type": "Expected an object.",
    "string_too_long": "At most {max_length} characters.",
    "string_too_short": "At least {min_length} characters.",
    "too_long": "At most {max_length} entries.",
    "too_short": "At least {min_length} entries.",
    "greater_than_equal": "At least {ge}.",
    "less_than_equal": "At most {le}.",
    "enum": "Expected {expected}.",
    "literal_error": "Expected {expected}.",
    "datetime_parsing": "Expected a time as 2026-11-22T09:30:00Z.",
    "datetime_type": "Expected a time as 2026-11-22T09:30:00Z.",
    "datetime_from_date_parsing": "Expected a time as 2026-11-22T09:30:00Z.",
    "finite_number": "Expected a finite number.",
    "recursion_loop": "Nested too deeply.",
}


def read_json(model: type[M], octets: bytes) -> M:
    """The body as ``model``. Raises Problem: malformed where it is no JSON, invalid with a sentence for each field."""
    try:
        found = model.model_validate_json(octets)
    except ValidationError as error:
        raise problem_of(model, error) from None
    except RecursionError:
        raise Problem("malformed", "The JSON is nested too deeply.") from None
    if b"\\u0000" in octets:
        _refuse_nul(orjson.loads(octets), "")
    return found


def read_query(model: type[M], given: dict[str, Any]) -> M:
    """The query string as ``model``: its values are text, so numbers and words are read from it."""
    try:
        return model.model_validate(given, strict=False)
    except ValidationError as error:
        raise problem_of(model, error) from None


def problem_of(model: type[BaseModel], error: ValidationError) -> Problem:
    errors = error.errors(include_url=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        return Problem("malformed", f"The body is no valid JSON: {errors[0]['ctx']['error']}.")
    found = [(_path(one["loc"]), _sentence(model, one)) for one in errors[:20]]
    where, words = found[0]
    return Problem("invalid", f"{where or 'The body'}: {words}", found)


def _path(loc: Sequence[int | str]) -> str:
    return ".".join(map(str, loc))


def _sentence(model: type[BaseModel], error: Any) -> str:
    context = error.get("ctx") or {}
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown(model, error["loc"])
    if kind == "value_error":
        return str(context.get("error", error["msg"]))
    words = _WORDS.get(kind)
    return words.format(**context) if words else str(error["msg"]) + "."


def _unknown(model: type[BaseModel], loc: Sequence[int | str]) -> str:
    """A field that is not known, with the nearest that is."""
    holder = _model_at(model, loc[:-1])
    names = [field.alias or name for name, field in holder.model_fields.items()] if holder else []
    near = difflib.get_close_matches(str(loc[-1]), names, 1, 0.5)
    if near:
        return f"There is no such field; did you mean {near[0]}?"
    return f"There is no such field here; there are {', '.join(names)}." if names else "There is no such field."


def _model_at(model: type[BaseModel], loc: Sequence[int | str]) -> type[BaseModel] | None:
    """The model in which ``loc`` lies, as far as it can be followed through lists and unions."""
    at = model
    for part in loc:
        if isinstance(part, int):
            continue
        field = next((one for name, one in at.model_fields.items() if part in (name, one.alias)), None)
        found = _first_model(field.annotation) if field else None
        if found is None:
            return None if field else at  # a union's branch has a step of its own in the path
        at = found
    return at


def _first_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _first_model(part))), None)


def _refuse_nul(value: Any, path: str) -> None:
    """PostgreSQL takes no NUL in a text, and no text of ours needs one."""
    if isinstance(value, str):
        if _NUL in value:
            raise Problem("invalid", f"{path or 'The body'}: NUL is not allowed.", ((path, "NUL is not allowed."),))
    elif isinstance(value, dict):
        for key, one in value.items():
            _refuse_nul(key, path)
            _refuse_nul(one, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            _refuse_nul(one, f"{path}.{number}".lstrip("."))
