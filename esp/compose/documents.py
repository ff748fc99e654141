"""Content of each kind to one HTML document with its styles inlined; merge fields are covered all the way."""

import re
from typing import Final

import css_inline
import mrml
from markdown_it import MarkdownIt
from markupsafe import escape

from esp.compose.shield import Shield, lone_lines_apart

# Include loading is off: an mj-include would read a file or fetch a URL on the author's word.
_MJML_OPTIONS: Final = mrml.ParserOptions(include_loader=mrml.noop_loader())
# By default MJML links fonts from a third party, which would then learn of everybody who reads the mail.
_MJML_RENDERING: Final = mrml.RenderOptions(fonts={})
_INLINER: Final = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True, keep_style_tags=False)
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable(["table", "strikethrough"])
_LONELY: Final = re.compile("<p>\\s*(\ue000[0-9]+\ue001)\\s*</p>")

_LISTED: Final = re.compile(
    "\ue000([0-9]+)\ue001\\s*<(ul|ol)>((?:(?!</?(?:ul|ol)>).)*)</\\2>\\s*\ue000([0-9]+)\ue001", re.DOTALL
)
# What mrml writes where the author names no language.
_UNDETERMINED: Final = re.compile(r'<html lang="und"')
_RUST_ESCAPE: Final = re.compile(r"\\u\{([0-9a-f]{1,5}|10[0-9a-f]{4})\}")

_LAYOUT: Final = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">
<title>{title}</title>
<style>
body {{ margin: 0; padding: 0; background: #f3f4f6; -webkit-text-size-adjust: 100%; }}
.sheet {{ width: 100%; max-width: 600px; margin: 0 auto; background: #ffffff; border-radius: 8px; }}
.inner {{ padding: 32px; font-family: -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; font-size: 16px;
  line-height: 1.6; color: #1f2937; }}
.inner h1 {{ font-size: 26px; line-height: 1.25; margin: 0 0 16px; color: #111827; }}
.inner h2 {{ font-size: 20px; line-height: 1.3; margin: 28px 0 12px; color: #111827; }}
.inner h3 {{ font-size: 17px; margin: 24px 0 8px; color: #111827; }}
.inner p, .inner ul, .inner ol {{ margin: 0 0 16px; }}
.inner a {{ color: #0f766e; }}
.inner img {{ max-width: 100%; height: auto; border: 0; }}
.inner blockquote {{ margin: 0 0 16px; padding: 4px 16px; border-left: 4px solid #d1d5db; color: #4b5563; }}
.inner blockquote p {{ margin: 0; }}
.inner table {{ width: 100%; border-collapse: collapse; margin: 0 0 16px; }}
.inner th, .inner td {{ padding: 8px 12px 8px 0; text-align: left; border-bottom: 1px solid #d1d5db; }}
.inner pre, .inner code {{ font-family: Menlo, Consolas, monospace; font-size: 14px; background: #f3f4f6; }}
@media (max-width: 620px) {{ .inner {{ padding: 20px !important; }} .outer {{ padding: 0 !important; }} }}
@media (prefers-color-scheme: dark) {{
  body, .outer {{ background: #111827 !important; }}
  .sheet, .inner pre, .inner code {{ background: #1f2937 !important; }}
  .inner, .inner h1, .inner h2, .inner h3, .inner blockquote, .inner code {{ color: #f3f4f6 !important; }}
  .inner a {{ color: #5eead4 !important; }} .inner code {{ text-decoration: underline dotted; }} }}
</style></head>
<body><table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr>
<td class="outer" style="padding:24px 12px">
<table role="presentation" class="sheet" align="center" cellpadding="0" cellspacing="0" border="0">
<tr><td class="inner">
{body}</td></tr></table></td></tr></table></body></html>
"""


class DocumentError(ValueError):
    """The source could not be made into HTML; the message is for its author."""


def from_markdown(covered: str, shield: Shield, title: str, language: str = "en") -> str:
    """A whole responsive document around CommonMark (with tables; HTML in the source is shown as text)."""
    body = _MARKDOWN.render(lone_lines_apart(covered, shield))
    body = _LONELY.sub(lambda f: f[1] if shield.is_statement(int(f[1][1:-1])) else f[0], body)
    body = _LISTED.sub(lambda f: _inside_list(f, shield), body)
    return _LAYOUT.format(language=escape(language), title=escape(title), body=body)


def _inside_list(found: re.Match[str], shield: Shield) -> str:
    """A loop around a list, as Markdown wants it written, becomes a loop inside of it: one list, not one an item."""
    first, last = shield.fields[int(found[1])], shield.fields[int(found[4])]
    if not first.startswith("{% for ") or last != "{% endfor %}":
        return found[0]
    return f"<{found[2]}>\ue000{found[1]}\ue001{found[3]}\ue000{found[4]}\ue001</{found[2]}>"


def from_mjml(covered: str, shield: Shield, language: str = "en") -> str:
    """HTML from MJML in ``language`` (an author's own ``<mjml lang>`` stands), statements as comments already.

    Raises DocumentError with the parser's reason.
    """
    try:
        output = mrml.to_html(covered, _MJML_OPTIONS, _MJML_RENDERING)
    except OSError as error:
        raise DocumentError(f"The MJML could not be read: {error}") from None
    # mrml prints attributes as Rust's debug form, which spells invisible characters out (\\u{200d}, our words too).
    html = _RUST_ESCAPE.sub(lambda found: chr(int(found[1], 16)), output.content)
    return _UNDETERMINED.sub(f'<html lang="{escape(language)}"', html, count=1)


def inline_styles(html: str) -> str:
    """Rules of ``<style>`` moved to ``style`` attributes, for mail programs that drop the former; @media rules stay."""
    if "<style" not in html.lower():
        return html
    try:
        return _INLINER.inline(html)
    except css_inline.InlineError as error:
        raise DocumentError(f"The styles could not be inlined: {error}") from None
