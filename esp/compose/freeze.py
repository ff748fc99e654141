"""A draft made ready for sending: read, converted, its links numbered, its parts frozen as trees."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from esp.compose import documents, footer, lint
from esp.compose.language import read
from esp.compose.links import LinkFinder
from esp.compose.shield import Shield, ShieldError, uncomment
from esp.compose.text_part import text_from_html
from esp.errors import ContentError
from esp.merge.frozen import OPEN_SLOT, PRIVATE, Frozen
from esp.merge.links import parse_url
from esp.merge.parse import ENVIRONMENT, VERBATIM, MergeSyntaxError, Tree, parse
from esp.merge.scope import references
from esp.model.campaign import ContentKind
from esp.model.content import CompiledVariant, Draft, Problem


@dataclass(frozen=True, slots=True)
class Facts:
    """What templates and the footer say about the sender; plain text."""

    workspace_name: str = ""
    postal_address: str = ""
    campaign_name: str = ""
    language: str = "en"  # BCP 47, of the workspace: screen readers and translators go by it

    def names(self) -> dict[str, dict[str, str]]:
        """As templates see them."""
        return {
            "workspace": {"name": self.workspace_name, "postal_address": self.postal_address},
            "campaign": {"name": self.campaign_name},
        }


@dataclass(slots=True)
class _Making:
    """A variant on its way: what is known so far and what is wrong with it."""

    draft: Draft
    finder: LinkFinder
    problems: list[Problem] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return any(problem.level == "error" for problem in self.problems + self.finder.problems)


def freeze(
    draft: Draft, *, first_link_index: int = 0, known_fields: frozenset[str] = frozenset(), facts: Facts | None = None
) -> CompiledVariant:
    """Compile ``draft``; its links are numbered from ``first_link_index`` in the order of the mail.

    ``known_fields`` are the names of the workspace's own contact fields. Warnings stay on the result; raises
    ContentError with all problems, errors first, where the draft cannot be sent. For content that a stranger wrote use
    ``service.ContentService.check``: a document made for it can crash the MJML parser and the process with it.
    """
    compiled, problems = inspect(draft, first_link_index=first_link_index, known_fields=known_fields, facts=facts)
    if compiled is None:
        first = next(problem for problem in problems if problem.level == "error")
        raise ContentError(f"The content cannot be sent yet. {first.message}", problems)
    return compiled


def inspect(
    draft: Draft, *, first_link_index: int = 0, known_fields: frozenset[str] = frozenset(), facts: Facts | None = None
) -> tuple[CompiledVariant | None, tuple[Problem, ...]]:
    """As ``freeze``, but with every problem as a value: the variant is None where one of them is an error."""
    facts = facts or Facts()
    shield = Shield()
    making = _Making(draft, LinkFinder(shield, first_link_index), list(lint.lint_draft(draft)))
    trees = _read_all(making, known_fields)
    frozen = None
    if not making.failed:
        try:
            frozen = _convert(making, shield, facts, trees)
        except (ShieldError, documents.DocumentError) as error:
            making.problems.append(Problem("error", "body", str(error)))
        except MergeSyntaxError as error:
            making.problems.append(Problem("error", "body", f"A merge field was broken by the HTML around it: {error}"))
    problems = sorted([*making.problems, *making.finder.problems], key=lambda problem: problem.level != "error")
    if frozen is None or making.failed:
        return None, tuple(problems)
    return CompiledVariant(draft.label, tuple(making.finder.links), frozen.dump(), tuple(problems)), tuple(problems)


def _read_all(making: _Making, known_fields: frozenset[str]) -> list[Tree | None]:
    draft = making.draft
    trees: list[Tree | None] = []
    for where, source in (("subject", draft.subject), ("preheader", draft.preheader), ("body", draft.source)):
        tree, problems = read(_clean(source), where, known_fields)
        making.problems += problems
        trees.append(tree)
    return trees


def _clean(source: str) -> str:
    """Line ends as LF, without NUL and without the characters that mark places in frozen content."""
    return PRIVATE.sub("", source.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", ""))


def _reads(tree: Tree, name: str, attribute: str = "") -> bool:
    return any(root == name and (not attribute or attr == attribute) for root, attr, _ in references(tree))


def _convert(making: _Making, shield: Shield, facts: Facts, trees: list[Tree | None]) -> Frozen | None:
    subject, preheader, body = (tree or [] for tree in trees)
    draft = making.draft
    has_unsubscribe = _reads(body, "unsubscribe_url")
    making.problems += _sender_problems(body, facts, has_unsubscribe)
    source = _clean(draft.source)
    html: Tree | None = None
    if draft.kind == ContentKind.TEXT:
        text = making.finder.in_text(shield.cover(source)).rstrip("\n") + "\n"
        making.problems += [p for p in lint.lint_links(tuple(making.finder.links)) if not making.failed]
    else:
        covered = making.finder.in_html(_document(making, shield, source, facts.language))
        making.problems += lint.lint_links(tuple(making.finder.links))
        text = text_from_html(covered, shield)
        if not has_unsubscribe:
            covered = footer.before_body_end(covered, footer.footer_html(facts.language))
        covered = footer.with_preheader(covered, shield.cover(_clean(draft.preheader), VERBATIM))
        final = shield.uncover(footer.before_body_end(covered, OPEN_SLOT)).rstrip("\n") + "\n"
        making.problems += lint.lint_html(covered, final)
        html = parse(final, VERBATIM)
    if not has_unsubscribe:
        text += footer.footer_text(facts.language)
    links = {link.index: parse_url(link.url) for link in making.finder.links}
    return Frozen(subject, preheader, parse(shield.uncover(text), VERBATIM), html, links, facts.names())


def _document(making: _Making, shield: Shield, source: str, language: str) -> str:
    """The draft's HTML with merge fields covered, statements as comments, styles inlined."""
    draft = making.draft
    environment = VERBATIM if draft.kind == ContentKind.MARKDOWN else ENVIRONMENT
    covered = shield.cover(source, environment)
    match draft.kind:
        case ContentKind.MJML:
            html = documents.from_mjml(shield.comment(covered), shield, language)
        case ContentKind.MARKDOWN:
            title = uncomment(shield.cover(_clean(draft.subject), VERBATIM))
            html = documents.inline_styles(shield.comment(documents.from_markdown(covered, shield, title, language)))
        case _:
            making.finder.check_raw_text(covered)
            html = documents.inline_styles(shield.comment(covered))
    shield.check(html)
    return html


def _sender_problems(body: Tree, facts: Facts, has_unsubscribe: bool) -> Iterable[Problem]:
    if not facts.postal_address.strip():
        message = "The workspace has no postal address; many countries' laws ask for one in every commercial mail."
        yield Problem("warning", "body", message)
    elif has_unsubscribe and not _reads(body, "workspace", "postal_address"):
        yield Problem("warning", "body", "The mail does not show {{ workspace.postal_address }}.")
