"""What runs inside a content process: a request as a value in, an answer as a value out. The process is in service."""

from typing import Any

from esp.compose.freeze import Facts, inspect
from esp.errors import MerpatiError
from esp.merge.preview import render_preview
from esp.model.campaign import ContentKind
from esp.model.content import Draft, Problem, Recipient


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Compile the request's draft and, where it asks for a preview, render it for one recipient."""
    draft = Draft(
        subject=request["subject"], source=request["source"], kind=ContentKind(request["kind"]),
        preheader=request["preheader"], label=request["label"],
    )  # fmt: skip
    compiled, problems = inspect(
        draft,
        first_link_index=request["first_link_index"],
        known_fields=frozenset(request["known_fields"]),
        facts=Facts(**request["facts"]),
    )
    reply: dict[str, Any] = {
        "problems": [[p.level, p.where, p.message, p.line] for p in problems],
        "links": [[link.index, link.url, link.text] for link in compiled.links] if compiled else [],
        "payload": compiled.payload.decode() if compiled else None,
        "preview": None,
    }
    recipient = request["recipient"]
    if compiled and recipient is not None:
        try:
            person = Recipient(0, 0, recipient["address"], recipient["fields"])
            reply["preview"] = render_preview(compiled, person, request["list_name"])
        except MerpatiError as error:
            problem = Problem("error", "body", str(error))
            reply["problems"].insert(0, [problem.level, problem.where, problem.message, None])
            reply["payload"] = None
    return reply
