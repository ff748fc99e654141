"""The guide: pages written in Markdown beside this code, readable without logging in, and raw for those who prefer."""

from functools import cache
from importlib import resources
from typing import Final

from aiohttp import web
from markdown_it import MarkdownIt
from markupsafe import Markup

from admin_ui.page import Page, Routes
from esp.errors import NotFoundError

routes: Final = Routes()

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table")


@cache
def _texts() -> dict[str, str]:
    """Every page's Markdown by name, in the order in which ``index`` names them."""
    paths = resources.files("admin_ui").joinpath("docs").iterdir()
    found = {path.name.removesuffix(".md"): path.read_text("utf-8") for path in paths if path.name.endswith(".md")}
    named = found["index"]
    return dict(sorted(found.items(), key=lambda item: (item[0] != "index", named.find(f"(/docs/{item[0]})"))))


def title_of(text: str) -> str:
    """The first heading of a page."""
    return next((line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")), "")


def _text(name: str) -> str:
    try:
        return _texts()[name]
    except KeyError:
        raise NotFoundError("The guide has no such page.") from None


@routes.get("/docs/{name}.md", open=True)
async def raw(page: Page) -> web.Response:
    return web.Response(text=_text(page.request.match_info["name"]), content_type="text/markdown")


@routes.get("/docs", open=True)
@routes.get("/docs/{name}", open=True)
async def show(page: Page) -> web.Response:
    name = page.request.match_info.get("name", "index")
    text = _text(name)
    return page.render(
        "docs/shell.html" if page.maybe_session else "docs/stage.html", name=name, title=title_of(text),
        body=Markup(_MARKDOWN.render(text)),  # noqa: S704 - html=False escapes what the text holds
        contents=[(one, title_of(words)) for one, words in _texts().items()])
