"""The compose form: from what the browser sends to an edit of a campaign, leniently, for a draft may be half done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field

from admin_ui.forms import FormModel
from admin_ui.words import _
from esp.errors import InputError
from esp.model.campaign import ContentKind
from esp.model.quantities import Rate
from esp.ports.campaigns import CampaignDetail, CampaignEdit, VariantEdit
from esp.ports.domains import SendingDomain
from esp.wire.addresses import AddressError, parse_address

LABELS: Final = "ABCDEFGH"
KINDS: Final = (
    (ContentKind.MJML, "MJML"), (ContentKind.HTML, "HTML"), (ContentKind.MARKDOWN, "Markdown"),
    (ContentKind.TEXT, "Text"),
)
_MOST: Final = 1_000_000  # characters of one mail's source, as esp.merge takes them


class ComposeForm(FormModel):
    """Everything on the compose page. The lists of a variant's fields are as long as there are variants."""

    version: int = 0
    name: str = Field("", max_length=200)
    include: list[int] = Field([])
    exclude: list[int] = Field([])
    only: list[int] = Field([])  # segments
    without: list[int] = Field([])
    domain: str = ""
    from_name: str = Field("", max_length=200)
    from_local: str = Field("", max_length=64)
    reply_to: str = Field("", max_length=320)
    throttle: str = Field("", max_length=40)
    track_opens: bool = False
    track_clicks: bool = False
    topic: str = ""
    in_archive: bool = False
    subject: list[str] = Field([], max_length=len(LABELS))
    preheader: list[str] = Field([], max_length=len(LABELS))
    kind: list[ContentKind] = Field([], max_length=len(LABELS))
    source: list[str] = Field([], max_length=len(LABELS))
    weight: list[int] = Field([], max_length=len(LABELS))
    content_of: list[str] = Field([], max_length=len(LABELS))  # "A": the same content as the first; else its own

    def variants(self) -> tuple[VariantEdit, ...]:
        """The variants as written, lettered in their order; raises InputError where the lists do not fit together."""
        lists: tuple[Sequence[Any], ...] = (
            self.subject, self.preheader, self.kind, self.source, self.weight, self.content_of)
        if not self.subject or len({len(one) for one in lists}) != 1:
            raise InputError(_("The form did not arrive whole. Nothing was changed; reload the page and try again."))
        return tuple(self._variants())

    def _variants(self) -> Iterator[VariantEdit]:
        for at, label in zip(range(len(self.subject)), LABELS, strict=False):
            content = 0 if self.content_of[at] == LABELS[0] else at
            if len(self.source[content]) > _MOST:
                raise InputError(_("The content is too large."), {"source": _("At most one million characters.")})
            yield VariantEdit(
                # A browser cannot put a line break into these fields; what does is no browser, and gets one line.
                subject=" ".join(self.subject[at].split()), preheader=" ".join(self.preheader[at].split()),
                kind=self.kind[content], source=self.source[content].replace("\r\n", "\n").replace("\r", "\n"),
                label=label, weight=max(1, min(100, self.weight[at])))


def read_edit(
    form: ComposeForm, domains: Sequence[SendingDomain], lists: frozenset[int], topics: frozenset[int] = frozenset(),
    segments: frozenset[int] = frozenset(),
) -> CampaignEdit:
    """The edit that the form asks for; whatever belongs to another workspace is as good as not there.

    Raises InputError with problems by field. What is merely missing is no problem yet: a draft may be half done.
    """
    problems: dict[str, str] = {}
    domain = next((one for one in domains if str(one.id) == form.domain), None)
    from_address = f"{form.from_local}@{domain.name}" if domain and form.from_local else ""
    for field, text in (("from_local", from_address), ("reply_to", form.reply_to)):
        if text:
            try:
                parse_address(text)
            except AddressError as error:
                problems[field] = str(error)
    if form.throttle:
        try:
            Rate.parse(form.throttle)
        except ValueError:
            problems["throttle"] = _("Write a number and a time, such as 600/min or 20000/h.")
    if problems:
        raise InputError(_("Some fields cannot be used as they are."), problems)
    return CampaignEdit(
        name=form.name or _("Untitled campaign"), variants=form.variants(),
        include_lists=tuple(one for one in dict.fromkeys(form.include) if one in lists),
        exclude_lists=tuple(one for one in dict.fromkeys(form.exclude) if one in lists),
        include_segments=tuple(one for one in dict.fromkeys(form.only) if one in segments),
        exclude_segments=tuple(one for one in dict.fromkeys(form.without) if one in segments),
        domain_id=domain.id if domain else None, from_name=" ".join(form.from_name.split()), from_address=from_address,
        reply_to=form.reply_to, throttle=form.throttle, track_opens=form.track_opens, track_clicks=form.track_clicks,
        topic_id=next((one for one in topics if str(one) == form.topic), None), in_archive=form.in_archive)


@dataclass(frozen=True, slots=True)
class VariantFields:
    """A variant as the form shows it; ``shared`` says that its content is the first one's."""

    edit: VariantEdit
    shared: bool


def variant_fields(detail: CampaignDetail) -> tuple[VariantFields, ...]:
    """The variants for the form: one whose content is that of the first is shown as sharing it."""
    edits = [variant.edit for variant in detail.variants]
    first = edits[0]
    return tuple(
        VariantFields(edit, at > 0 and (edit.source, edit.kind) == (first.source, first.kind))
        for at, edit in enumerate(edits))


def from_local(address: str) -> str:
    """The part before the @."""
    return address.rpartition("@")[0]
