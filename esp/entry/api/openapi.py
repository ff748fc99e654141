"""The OpenAPI 3.1 document, made of the operations and of the very models that validate."""

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from esp.entry.api.operation import Operation, Operations
from esp.entry.api.problems import KINDS, MEDIA_TYPE

Refs = dict[tuple[Any, Any], Any]  # the schema of a model, as it validates or as it is written
_REF: Final = "#/components/schemas/{model}"
#: Problems that any operation may answer with, besides those of its own.
_ALWAYS: Final = (400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503)
_ABOUT: Final = """Send mail and manage contacts, lists, segments and campaigns.

Every request names a key: `Authorization: Bearer mp_...`. A key belongs to one workspace and sees nothing else.
Errors are problem details (RFC 9457). Lists are read by cursor. Every POST takes an `Idempotency-Key`: within 24 hours
the same key and body get the same answer again. Times are RFC 3339, in UTC."""


def document(groups: Sequence[Operations], server: str) -> dict[str, Any]:
    """The whole document. ``server`` is the address of the API, such as https://mail.example.com/api/v1."""
    operations = [operation for group in groups for operation in group.all]
    refs, definitions = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r"\{(\w+)[^}]*\}", r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, refs, definitions)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Merpati", "version": "1", "description": _ABOUT, "license": {"name": "Apache-2.0",
                                                                                        "identifier": "Apache-2.0"}},
        "servers": [{"url": server}],
        "tags": [{"name": group.tag, "description": group.about} for group in groups if group.all],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
            "schemas": {**definitions, "Problem": _PROBLEM},
            "responses": {_problem_name(status): _problem_answer(status) for status in (*_ALWAYS, 412)},
        },
    }


_PROBLEM: Final = {
    "type": "object", "title": "Problem", "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"}, "title": {"type": "string"},
        "status": {"type": "integer"}, "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "errors": {"type": "array", "items": {
            "type": "object", "required": ["field", "message"],
            "properties": {"field": {"type": "string"}, "message": {"type": "string"}}}},
    },
}


def _schemas(operations: Sequence[Operation]) -> tuple[Refs, dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], Any], None] = {}
    for operation in operations:
        if operation.body:
            wanted[operation.body, "validation"] = None
        if operation.query:
            wanted[operation.query, "validation"] = None
        if operation.answer:
            wanted[operation.answer, "serialization"] = None
    refs, schema = models_json_schema(list(wanted), ref_template=_REF, by_alias=True)
    named: Refs = {(model, mode): ref for (model, mode), ref in refs.items() if isinstance(model, type)}
    definitions: dict[str, Any] = schema.get("$defs", {})
    return named, definitions


def _problem_name(status: int) -> str:
    return f"Problem{status}"


def _problem_answer(status: int) -> dict[str, Any]:
    kinds = [(kind, title) for kind, (of, title, _) in KINDS.items() if of == status]
    answer: dict[str, Any] = {
        "description": "; ".join(title for _, title in kinds) + ".",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    return answer


def _operation(
    operation: Operation, refs: Refs, definitions: dict[str, Any],
) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in operation.places]
    if operation.query:
        schema = definitions[refs[operation.query, "validation"]["$ref"].rsplit("/", 1)[1]]
        for name, about in schema.get("properties", {}).items():
            parameters.append({
                "name": name, "in": "query", "required": name in schema.get("required", ()),
                "schema": {key: value for key, value in about.items() if key not in ("title", "description")},
                **({"description": about["description"]} if "description" in about else {})})
    if operation.method == "POST":
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": False,
                           "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                           "description": "The same key and body within 24 hours get the same answer, and nothing is "
                           "done twice."})
    if operation.tagged and operation.method != "GET":
        parameters.append({"name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"},
                           "description": "The ETag that you read: 412 where somebody changed it since."})
    found: dict[str, Any] = {
        "operationId": operation.name, "tags": [operation.tag], "summary": operation.summary,
        "description": "\n\n".join(filter(None, (operation.description, f"Scope: `{operation.scope}`."))),
        "responses": _answers(operation, refs),
    }
    if parameters:
        found["parameters"] = parameters
    if operation.body:
        found["requestBody"] = {
            "required": True, "content": {"application/json": {"schema": refs[operation.body, "validation"]}}}
    return found


def _answers(operation: Operation, refs: Refs) -> dict[str, Any]:
    headers: dict[str, Any] = {
        "RateLimit": {"schema": {"type": "string"}, "description": "What is left of the key's rate."},
        "RateLimit-Policy": {"schema": {"type": "string"}, "description": "The key's rate."},
    }
    if operation.tagged:
        headers["ETag"] = {"schema": {"type": "string"}, "description": "For If-Match and If-None-Match."}
    good: dict[str, Any] = {"description": operation.summary + ".", "headers": headers}
    if operation.answer:
        good["content"] = {"application/json": {"schema": refs[operation.answer, "serialization"]}}
    statuses = [*_ALWAYS, *([412] if operation.tagged and operation.method != "GET" else [])]
    return {str(operation.status): good,
            **{str(status): {"$ref": f"#/components/responses/{_problem_name(status)}"} for status in statuses}}
