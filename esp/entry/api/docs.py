"""The documentation as one page without script, made of the OpenAPI document when the server starts."""

import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

import orjson

from esp.entry.api.problems import KINDS

#: Its own style sheet and nothing else: what a description holds could not run even if it got in.
POLICY: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
STYLE: Final = (Path(__file__).parent / "docs.css").read_text("utf-8")
_CODE: Final = re.compile(r"`([^`]+)`")
_DEEPEST: Final = 4


def page(spec: Mapping[str, Any]) -> str:
    """The whole page."""
    schemas = spec["components"]["schemas"]
    by_tag: dict[str, list[tuple[str, str, Any]]] = {tag["name"]: [] for tag in spec["tags"]}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append((method.upper(), path, operation))
    about = {tag["name"]: tag["description"] for tag in spec["tags"]}
    server = spec["servers"][0]["url"]
    body = "".join((
        _head(spec, by_tag),
        *("".join((f'<section><h2 id="{_slug(tag)}">{escape(tag)}</h2><p>{_text(about[tag])}</p>',
                   *(_operation(*one, schemas, server) for one in found), "</section>"))
          for tag, found in by_tag.items()),
        _problems(),
    ))
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark"><title>Merpati API</title>'
            f'<link rel="stylesheet" href="docs.css"></head><body>{body}</body></html>')


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _text(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text)).replace("\n\n", "</p><p>")


def _head(spec: Mapping[str, Any], by_tag: Mapping[str, list[tuple[str, str, Any]]]) -> str:
    links = "".join(
        f'<li><a href="#{_slug(tag)}">{escape(tag)}</a><ul>'
        + "".join(f'<li><a href="#{operation["operationId"]}">{escape(operation["summary"])}</a></li>'
                  for _, _, operation in found) + "</ul></li>"
        for tag, found in by_tag.items())
    return (f'<nav aria-label="Operations"><p class="brand"><a href="/">Merpati</a> API</p><ul>{links}'
            '<li><a href="#problems">Problems</a></li></ul></nav><main><header><h1>Merpati API</h1>'
            f'<p>{_text(spec["info"]["description"])}</p><p>At <code>{escape(spec["servers"][0]["url"])}</code>; '
            'described for machines by <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p></header>')


def _operation(method: str, path: str, it: Mapping[str, Any], schemas: Mapping[str, Any], server: str) -> str:
    body = it.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answers = [(status, answer) for status, answer in it["responses"].items() if status.startswith("2")]
    parameters = "".join(
        f'<tr><th scope="row"><code>{escape(one["name"])}</code></th><td>{escape(one["in"])}</td>'
        f'<td>{escape(_kind(one["schema"], schemas))}</td><td>{_text(one.get("description", ""))}</td></tr>'
        for one in it.get("parameters", ()))
    parts = [f'<article id="{it["operationId"]}"><h3>{escape(it["summary"])}</h3>'
             f'<p class="call"><b class="m-{method.lower()}">{method}</b> <code>{escape(path)}</code></p>'
             f'<p>{_text(it["description"])}</p>']
    if parameters:
        parts.append(f'<details><summary>Parameters</summary><table>{parameters}</table></details>')
    if body:
        parts.append(f"<details open><summary>Body</summary>{_table(body, schemas)}</details>")
    parts.append(f"<details><summary>Example</summary><pre tabindex=\"0\">"
                 f"{escape(_curl(method, path, body, schemas, server))}</pre></details>")
    for status, answer in answers:
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        shown = _table(schema, schemas) if schema else "<p>No body.</p>"
        parts.append(f"<details><summary>Answer {status}</summary>{shown}</details>")
    return "".join(parts) + "</article>"


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _choices(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [_resolved(one, schemas) for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))]


def _kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    schema = _resolved(schema, schemas)
    if choices := _choices(schema, schemas):
        return " or ".join(dict.fromkeys(_kind(one, schemas) for one in choices))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}), schemas)}"
    return str(schema.get("format") or schema.get("type", "anything"))


def _rows(schema: Mapping[str, Any], schemas: Mapping[str, Any], prefix: str, depth: int) -> Iterator[str]:
    """A row for each field, those of objects within beneath them."""
    schema = _resolved(schema, schemas)
    if schema.get("type") == "array":
        yield from _rows(schema.get("items", {}), schemas, f"{prefix.rstrip('.')}[]." if prefix else "", depth)
        return
    for one in _choices(schema, schemas):
        yield from _rows(one, schemas, prefix, depth)
    required = schema.get("required", ())
    for name, about in schema.get("properties", {}).items():
        inner = _resolved(about, schemas)
        words = about.get("description") or inner.get("description", "")
        needed = "<b>needed</b>" if name in required and "default" not in inner else ""
        yield (f'<tr><th scope="row"><code>{escape(prefix + name)}</code></th><td>{escape(_kind(about, schemas))}</td>'
               f"<td>{needed}</td><td>{_text(words)}</td></tr>")
        if depth < _DEEPEST:
            yield from _rows(inner, schemas, f"{prefix}{name}.", depth + 1)


def _table(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    rows = "".join(_rows(schema, schemas, "", 0))
    return f"<table>{rows}</table>" if rows else f"<p>{escape(_kind(schema, schemas))}</p>"


def _example(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Any:
    """Something of the schema: its own example, or what is needed of it."""
    if "examples" in schema:
        return schema["examples"][0]
    schema = _resolved(schema, schemas)
    if "examples" in schema:
        return schema["examples"][0]
    for one in _choices(schema, schemas):
        if one.get("type") != "null":
            return _example(one, schemas, depth)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            return {name: _example(about, schemas, depth + 1) for name, about in schema.get("properties", {}).items()
                    if name in required and depth < _DEEPEST}
        case "array":
            return [_example(schema.get("items", {}), schemas, depth + 1)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return "..."


def _curl(method: str, path: str, body: Any, schemas: Mapping[str, Any], server: str) -> str:
    lines = [f"curl {'-X ' + method + ' ' if method not in ('GET', 'POST') else ''}{server}{path}",
             '-H "Authorization: Bearer $MERPATI_KEY"']
    if body:
        example = orjson.dumps(_example(body, schemas), option=orjson.OPT_INDENT_2).decode().replace("'", "'\\''")
        lines += ["-H 'Content-Type: application/json'", f"-d '{example}'"]
    return " \\\n  ".join(lines)


def _problems() -> str:
    rows = "".join(
        f'<tr id="problem-{kind}"><th scope="row"><code>{kind}</code></th><td>{status}</td><td>{escape(title)}.</td>'
        f"<td>{_text(advice)}</td></tr>" for kind, (status, title, advice) in KINDS.items())
    return (f'<section><h2 id="problems">Problems</h2><p>Whatever goes wrong is answered as '
            f"<code>application/problem+json</code> (RFC 9457): its <code>type</code> ends in one of these.</p>"
            f"<table>{rows}</table></section></main>")
