"""Coming onto lists and off them: settings, pages, wordings, requests, their bounds, and what confirms them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from esp.model.permission import OptIn, SignupAction, SignupChannel, SignupOutcome, SignupState
from esp.ports.contacts import NewContact


@dataclass(frozen=True, slots=True)
class AskedField:
    """A field that the form asks for: a standard field's name or the key of one of the workspace's own."""

    key: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class ListSignup:
    """How people come onto a list. ``texts`` is language -> consent, welcome_subject, welcome (empty: ours).

    ``command`` is the first part of its command addresses, ``language`` empty for the reader's own.
    """

    list_id: int
    opt_in: OptIn = OptIn.DOUBLE
    public: bool = False
    language: str = ""
    fields: tuple[AskedField, ...] = ()
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    welcome: bool = False
    command: str = ""
    domain_id: int | None = None
    from_name: str = ""


@dataclass(frozen=True, slots=True)
class PublicList:
    """A list with its settings, as a recipient may see it."""

    id: int
    workspace_id: int
    name: str
    description: str
    handle: str
    signup: ListSignup

    @property
    def command(self) -> str:
        return self.signup.command or self.handle


@dataclass(frozen=True, slots=True)
class PublicPages:
    """A workspace's looks on recipients' pages; ``words`` is language -> key -> text, ``origins`` may use the form."""

    workspace_id: int
    handle: str
    brand: str
    address: str
    accent: str = ""
    logo_hash: str = ""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    origins: tuple[str, ...] = ()
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class Logo:
    media_type: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class SignupPage:
    """A page for several lists; ``id`` is 0 for the page of a single list and of all public ones."""

    id: int
    handle: str
    title: str
    intro: str
    language: str
    lists: tuple[PublicList, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """One bound: at most ``most`` within the window that ``key`` names and that is over at ``until``."""

    key: str
    until: datetime
    most: int


@dataclass(frozen=True, slots=True)
class SignupRequest:
    """What somebody asked for at a door of ours, checked as far as it can be without looking anybody up."""

    workspace_id: int
    action: SignupAction
    email: str
    email_key: str
    domain: str
    language: str
    wordings: Mapping[int, str]  # the words that stood beside the button, by list
    fields: Mapping[str, Any]
    channel: SignupChannel
    source: str
    ip: str
    user_agent: str
    proven: bool
    at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Signup:
    """A recorded request. ``wordings`` is wording id by list id."""

    id: int
    workspace_id: int
    action: SignupAction
    email: str
    email_key: str
    domain: str
    language: str
    list_ids: tuple[int, ...]
    wordings: Mapping[int, int]
    fields: Mapping[str, Any]
    channel: SignupChannel
    source: str
    ip: str
    user_agent: str
    proven: bool
    state: SignupState
    contact_id: int | None
    message_id: int | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an address stands: on which lists in which state, and why it may not be written to ("" where it may)."""

    contact_id: int | None
    language: str
    subscriptions: Mapping[int, str]
    suppressed: str


@dataclass(frozen=True, slots=True)
class Witness:
    """Who said so, where from and by which words: what a consent record keeps besides the change itself."""

    source: str
    ip: str = ""
    user_agent: str = ""
    actor: str = "contact"


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A whole message for one person. ``raw`` is CRLF-clean and lacks only signatures; ``provider`` as for batches.

    With ``list_id`` it is mail of a list: the way out of that list (RFC 8058) is put in when it is sent.
    """

    workspace_id: int
    domain_id: int
    kind: str
    contact_id: int | None
    address: str
    domain: str
    provider: str
    subject: str
    raw: bytes
    list_id: int | None = None


class Signups(Protocol):
    # ---- settings
    async def list_signup(self, workspace_id: int, list_id: int) -> PublicList:
        """A list with its settings, archived or not; NotFoundError, also for another workspace's."""
        ...

    async def list_signups(self, workspace_id: int) -> tuple[PublicList, ...]:
        """Every list in use, by name."""
        ...

    async def save_list_signup(self, workspace_id: int, signup: ListSignup) -> None:
        """Raises ConflictError where another list has the command address."""
        ...

    async def public_pages(self, workspace_id: int) -> PublicPages:
        """The workspace's; with a handle proposed from its name until any of its pages is saved or made public."""
        ...

    async def save_public_pages(self, pages: PublicPages) -> None:
        """Everything but brand, address and logo. Raises ConflictError where another workspace has the handle."""
        ...

    async def save_logo(self, workspace_id: int, logo: Logo | None) -> None: ...

    async def logo(self, workspace_id: int, logo_hash: str) -> Logo | None: ...

    async def pages(self, workspace_id: int) -> tuple[SignupPage, ...]:
        """The pages for several lists."""
        ...

    async def save_page(
        self, workspace_id: int, page_id: int | None, handle: str, title: str, intro: str, language: str,
        list_ids: Sequence[int], now: datetime,
    ) -> int:
        """A new one where ``page_id`` is None. Raises ConflictError where a list or page has the handle."""
        ...

    async def delete_page(self, workspace_id: int, page_id: int) -> None: ...

    # ---- the door
    async def find_page(self, workspace_handle: str, page_handle: str) -> tuple[PublicPages, SignupPage] | None:
        """A public list's page, a page for several, or (handle "") the page of all public lists; else None."""
        ...

    async def record(
        self, request: SignupRequest, counts: Sequence[Count], missed: Mapping[tuple[int, int], int] | None = None,
    ) -> Count | None:
        """Count the request; record it where every bound holds. The bound that does not, or None where it is recorded.

        A request of an address that has one open gets its lists added to that one. Rows are bounded: the first bound
        that does not hold ends the counting. ``missed`` are requests, by workspace and list, that were turned away
        without a look into the database; they are tallied along.
        """
        ...

    async def tallies(self, workspace_id: int, list_id: int, since: date) -> Mapping[SignupOutcome, int]:
        """What came of the requests to join a list since a day (UTC), this day included."""
        ...

    async def count(self, counts: Sequence[Count], now: datetime) -> bool:
        """Whether every bound still holds with one more, counting it."""
        ...

    async def signup(self, workspace_id: int, signup_id: int) -> Signup | None: ...

    # ---- the flow
    async def new(self, limit: int) -> tuple[Signup, ...]:
        """Requests that nobody has looked at, oldest first, of every workspace."""
        ...

    async def standing(self, signup: Signup, now: datetime) -> Standing: ...

    async def ask(
        self, signup: Signup, row: NewContact | None, message: NewMessage, witness: Witness, now: datetime,
        bounds: Sequence[Count],
    ) -> bool:
        """Make contact and pending subscriptions with their consent records, queue the mail, and mark it asked.

        All in one transaction. Where ``bounds`` do not hold no mail goes out: an earlier one still waits to be
        answered, or the request is held. Without ``row`` nobody's standing changes. False where no mail was queued.
        """
        ...

    async def settle(
        self, signup: Signup, state: SignupState, reason: str, now: datetime, outcome: SignupOutcome | None = None,
    ) -> bool:
        """End a request without any change to anybody; ``outcome`` is what it is tallied as."""
        ...

    async def apply(
        self, signup: Signup, row: NewContact, list_ids: Sequence[int], witness: Witness, state: SignupState,
        mails: Sequence[NewMessage], now: datetime,
    ) -> bool:
        """Subscribe to ``list_ids``, or unsubscribe from them, as the request says, with consent records.

        In the same transaction the fields are written and welcome mails queued; False where it was over already.
        """
        ...

    async def expire(self, now: datetime, limit: int) -> int:
        """End what was never confirmed: pending subscriptions go, and contacts that this alone had made; how many."""
        ...

    async def forget(self, ended_before: datetime, written_before: datetime, now: datetime, limit: int) -> int:
        """Delete requests that are over and counts whose window is, and what old messages said; how many."""
        ...

    # ---- mail
    async def command_list(self, domain: str, command: str) -> PublicList | None:
        """The list whose command addresses begin with ``command`` at ``domain`` or the sending domain above it."""
        ...

    async def send(self, message: NewMessage, now: datetime) -> int:
        """Queue one message; its id."""
        ...
