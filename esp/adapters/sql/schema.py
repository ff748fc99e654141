"""The one schema, for SQLite and PostgreSQL alike: every row has its workspace, every list is read by key."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, always aware in Python; SQLite keeps it as ISO text, which sorts as time does."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime would be read as local time; use UTC")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# What is found by prefix and paged by key: compared octet by octet on PostgreSQL as on SQLite, whatever the locale.
Key: Any = Text().with_variant(Text(collation="C"), "postgresql")
Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only where the type is INTEGER
Json: Any = JSON().with_variant(JSONB(), "postgresql")


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _public_id() -> Column[str]:
    return Column("public_id", String(32), nullable=False, unique=True)


def _workspace() -> Column[int]:
    return Column("workspace_id", Id, ForeignKey("workspaces.id"), nullable=False)


def _held(column: str, target: str) -> ForeignKeyConstraint:
    """A foreign key of a table with rows for every person and mail, which SQLite alone has.

    There it is a look at a page. PostgreSQL locks the other row for each row that is written, which costs more than the
    row and all its indexes; and who writes these rows has read the other one in the same transaction.
    """
    return ForeignKeyConstraint([column], [target], info={"only": "sqlite"}).ddl_if(dialect="sqlite")


def _at(name: str, nullable: bool = False) -> Column[datetime]:
    return Column(name, Instant, nullable=nullable)


def _text(name: str, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _count(name: str) -> Column[int]:
    return Column(name, Id, nullable=False, server_default="0")


def _flag(name: str, default: bool = False) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("true" if default else "false"))


def unreported_where(table: str = "") -> str:
    """Ends of apps' deliveries that their senders were not told about yet: as the index has it, or for a query."""
    of = f"{table}." if table else ""
    return (f"{of}message_id IS NOT NULL AND {of}reported_at IS NULL AND ({of}state IN ('bounced', 'expired') OR "
            f"({of}state = 'delivered' AND {of}report = 'success'))")


# fmt: off
# ---- who works here -------------------------------------------------------------------------------------------------

workspaces = Table(
    "workspaces", metadata, _id(), _public_id(),
    _text("name"), _text("postal_address"), _text("language", "en"), _text("time_zone", "UTC"),
    _at("created_at"),
)

users = Table(
    "users", metadata, _id(), _public_id(),
    Column("email", Text, nullable=False, unique=True),  # lower case
    _text("name"), _text("password_hash"), _text("language", "en"),
    _at("created_at"), _at("disabled_at", True),
)

memberships = Table(
    "memberships", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    _text("role", "owner"),
    _at("disabled_at", True),  # barred from this workspace; what a user does elsewhere is nobody's business here
)

sessions = Table(
    "sessions", metadata,
    Column("token_hash", String(64), primary_key=True),  # SHA-256 of the cookie: a stolen database logs nobody in
    Column("user_id", Id, ForeignKey("users.id"), nullable=False, index=True),
    _workspace(),
    _text("csrf"), _text("ip"), _text("user_agent"),
    _at("created_at"), _at("seen_at"), _at("expires_at"),
)

# ---- sending domains ------------------------------------------------------------------------------------------------

sending_domains = Table(
    "sending_domains", metadata, _id(), _public_id(), _workspace(),
    _text("name"),
    _at("created_at"), _at("checked_at", True), _at("verified_at", True),
    Column("check_result", Json, nullable=True),  # the last DNS check, as shown
    UniqueConstraint("workspace_id", "name"),
)

dkim_keys = Table(
    "dkim_keys", metadata, _id(), _workspace(),
    Column("domain_id", Id, ForeignKey("sending_domains.id"), nullable=False, index=True),
    _text("selector"), _text("algorithm"), _text("private_pem"), _text("public_key"),
    _at("created_at"), _at("retired_at", True),
    UniqueConstraint("domain_id", "selector"),
)

# ---- audience -------------------------------------------------------------------------------------------------------

lists = Table(
    "lists", metadata, _id(), _public_id(), _workspace(),
    _text("name"), _text("description"),
    _text("handle"),  # the stable first label of its List-Id
    _count("subscribed_count"), _count("unsubscribed_count"),  # rollups, kept in the transaction that changes them
    _at("created_at"), _at("archived_at", True),
    # Added by 0006; what 0002 to 0005 add stands above these.
    _text("archive", "off"), _flag("archive_indexed"), _flag("tracking", True),
    UniqueConstraint("workspace_id", "handle"),
)

contacts = Table(
    "contacts", metadata, _id(), _public_id(), Column("workspace_id", Id, nullable=False),
    _held("workspace_id", "workspaces.id"),
    _text("email"),  # as written, the domain in lower case: exactly what RCPT TO receives
    Column("email_key", Key, nullable=False, server_default=""),  # case-folded, for finding the same person again
    Column("name_key", Key, nullable=False, server_default=""),  # "first last", case-folded, for searching by prefix
    Column("last_name_key", Key, nullable=False, server_default=""),
    _text("domain"),
    _text("first_name"), _text("last_name"), _text("city"), _text("country"), _text("language"), _text("time_zone"),
    _text("birth_date"),  # YYYY-MM-DD or empty
    Column("fields", Json, nullable=False, server_default="{}"),
    _text("source"),
    _at("created_at"), _at("updated_at"),
    UniqueConstraint("workspace_id", "email_key"),
    Index("ix_contacts_workspace_id_id", "workspace_id", "id"),
    Index("ix_contacts_workspace_id_name_key", "workspace_id", "name_key", "id"),
    Index("ix_contacts_workspace_id_last_name_key", "workspace_id", "last_name_key", "id"),
)

subscriptions = Table(
    "subscriptions", metadata,
    Column("workspace_id", Id, nullable=False), _held("workspace_id", "workspaces.id"),
    Column("list_id", Id, primary_key=True), _held("list_id", "lists.id"),
    Column("contact_id", Id, ForeignKey("contacts.id"), primary_key=True),
    _text("state"), _at("changed_at"),
    Index("ix_subscriptions_contact_id", "contact_id"),
    # Few have left; whoever looks for them should not go past everybody who stayed.
    Index("ix_subscriptions_left", "list_id", "state", "contact_id", sqlite_where=text("state <> 'subscribed'"),
          postgresql_where=text("state <> 'subscribed'")),
    Index("ix_subscriptions_gone", "workspace_id", "state", "contact_id", sqlite_where=text("state <> 'subscribed'"),
          postgresql_where=text("state <> 'subscribed'")),
)

consents = Table(
    "consents", metadata, _id(), Column("workspace_id", Id, nullable=False), _held("workspace_id", "workspaces.id"),
    Column("contact_id", Id, ForeignKey("contacts.id"), nullable=False, index=True),
    Column("list_id", Id, nullable=True), _held("list_id", "lists.id"),
    _text("action"), _at("at"), _text("source"), _text("actor"), _text("ip"), _text("user_agent"), _text("wording"),
    Column("wording_id", Id, nullable=True),  # which version of the list's words; the text itself stands in wording
)

suppressions = Table(
    "suppressions", metadata, _id(), _workspace(),
    Column("email_key", Key, nullable=False, server_default=""), _text("reason"),
    Column("list_id", Id, ForeignKey("lists.id"), nullable=True),  # null: the whole workspace
    Column("delivery_id", Id, nullable=True),
    _text("note"), _at("created_at"), _at("expires_at", True),
    Index("ix_suppressions_workspace_id_email_key", "workspace_id", "email_key"),
    Index("ix_suppressions_workspace_id_id", "workspace_id", "id"),  # newest first, all of them and of one reason
    Index("ix_suppressions_workspace_id_reason", "workspace_id", "reason", "id"),
)

imports = Table(
    "imports", metadata, _id(), _public_id(), _workspace(),
    Column("list_id", Id, ForeignKey("lists.id"), nullable=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=True),
    _text("file_name"), _text("path"), _text("state"), _text("error"),
    Column("mapping", Json, nullable=False, server_default="{}"),
    Column("options", Json, nullable=False, server_default="{}"),
    _count("bytes_total"), _count("bytes_read"), _count("lines_read"), _count("rows_read"),
    _count("created"), _count("updated"), _count("unchanged"), _count("rejected"),
    _count("kept_out"),  # had left the list before, and were left alone
    _at("created_at"), _at("started_at", True), _at("finished_at", True), _at("heartbeat_at", True),
    Column("tries", Integer, nullable=False, server_default="0"),  # failed without progress in between
    _text("signature"),  # of the header, so that the same kind of file finds its mapping again
    Index("ix_imports_workspace_id_signature", "workspace_id", "signature", "id"),
)

import_rejects = Table(
    "import_rejects", metadata, _id(), _workspace(),
    Column("import_id", Id, ForeignKey("imports.id"), nullable=False, index=True),
    Column("line", Id, nullable=False), _text("reason"), _text("row"),
)

# ---- transfers: exports, and imports and exports on a schedule ------------------------------------------------------

exports = Table(
    "exports", metadata, _id(), _public_id(), _workspace(),
    Column("user_id", Id, ForeignKey("users.id"), nullable=True),
    Column("transfer_id", Id, nullable=True),  # the schedule that asked for it
    _text("what"), _text("format"), _text("state"), _text("error"), _text("path"),
    Column("options", Json, nullable=False, server_default="{}"),
    _count("after_id"), _count("until_id"), _count("octets"), _count("rows_written"),
    Column("tries", Integer, nullable=False, server_default="0"),
    _at("created_at"), _at("started_at", True), _at("finished_at", True), _at("heartbeat_at", True),
    Index("ix_exports_workspace_id_id", "workspace_id", "id"),
    Index("ix_exports_state_id", "state", "id"),
)

transfers = Table(
    "transfers", metadata, _id(), _public_id(), _workspace(),
    _text("name"), _text("direction"), _text("kind"),  # import or export; url, folder, s3 or sql
    Column("place", Json, nullable=False, server_default="{}"),  # where: address, bucket, path, query
    _text("secret"),  # sealed with the server's key; never shown again
    Column("options", Json, nullable=False, server_default="{}"),  # list, mapping, what is exported
    Column("schedule", Json, nullable=False, server_default="{}"),
    _at("next_at", True), _at("running_until", True), _at("created_at"), _at("paused_at", True),
    Index("ix_transfers_next_at", "next_at", "id"),
    Index("ix_transfers_workspace_id_id", "workspace_id", "id"),
)

transfer_runs = Table(
    "transfer_runs", metadata, _id(), _workspace(),
    Column("transfer_id", Id, ForeignKey("transfers.id", ondelete="CASCADE"), nullable=False),
    _text("state"), _text("error"), _count("octets"),
    Column("import_id", Id, nullable=True), Column("export_id", Id, nullable=True),
    _at("started_at"), _at("finished_at", True),
    Index("ix_transfer_runs_transfer_id", "transfer_id", "id"),
)

# ---- people: their own fields, tags, notes, what was done to many at once, and hygiene -----------------------------

contact_fields = Table(
    "contact_fields", metadata, _id(), _public_id(), _workspace(),
    _text("key"), _text("label"), _text("type", "text"),  # the key is the merge field's name and never changes
    Column("choices", Json, nullable=False, server_default="[]"),
    _flag("open_to_recipient"), _count("position"),
    _at("created_at"), _at("archived_at", True),
    UniqueConstraint("workspace_id", "key"),
)

tags = Table(
    "tags", metadata, _id(), _workspace(),
    _text("name"), Column("name_key", Key, nullable=False, server_default=""),  # case-folded, for finding it again
    UniqueConstraint("workspace_id", "name_key"),
)

contact_tags = Table(
    "contact_tags", metadata,
    _workspace(),
    Column("tag_id", Id, ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True),
    Column("contact_id", Id, ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_contact_tags_contact_id", "contact_id"),
)

contact_notes = Table(
    "contact_notes", metadata, _id(), _workspace(),
    Column("contact_id", Id, ForeignKey("contacts.id", ondelete="CASCADE"), nullable=False),
    _text("author"), _text("text"), _at("at"), _at("edited_at", True),
    Index("ix_contact_notes_contact_id", "contact_id", "id"),
)

# What was changed about one person by hand: tagged, untagged, edited, merged, preferences, address.
contact_changes = Table(
    "contact_changes", metadata, _id(), _workspace(),
    Column("contact_id", Id, ForeignKey("contacts.id", ondelete="CASCADE"), nullable=False),
    _at("at"), _text("kind"), _text("actor"),
    Column("detail", Json, nullable=False, server_default="{}"),
    Index("ix_contact_changes_contact_id", "contact_id", "id"),
)

# Whom somebody became who was merged into another: old addresses of pages and tokens lead on.
contact_redirects = Table(
    "contact_redirects", metadata,
    Column("old_id", Id, primary_key=True, autoincrement=False),
    Column("old_public_id", String(32), nullable=False, unique=True),
    _workspace(),
    Column("contact_id", Id, ForeignKey("contacts.id", ondelete="CASCADE"), nullable=False, index=True),
    _at("at"),
)

bulk_actions = Table(
    "bulk_actions", metadata, _id(), _public_id(), _workspace(),
    _text("actor"), _text("action"), _text("state", "queued"), _text("error"),
    Column("arguments", Json, nullable=False, server_default="{}"),
    Column("selection", Json, nullable=False, server_default="{}"),
    _count("cursor"), _count("until"),  # contact ids: how far it has come, and the newest when it was asked for
    _count("seen"), _count("changed"), _count("kept"),  # kept: left alone with reason, e.g. who had left the list
    Column("undo_of", Id, nullable=True),
    _at("created_at"), _at("started_at", True), _at("finished_at", True), _at("heartbeat_at", True),
    Column("tries", Integer, nullable=False, server_default="0"),
    Index("ix_bulk_actions_workspace_id_id", "workspace_id", "id"),
)

# Whom a bulk action changed and what was before: its log, its undo, and a line in each person's timeline.
bulk_changes = Table(
    "bulk_changes", metadata,
    _workspace(),
    Column("bulk_id", Id, ForeignKey("bulk_actions.id"), primary_key=True),
    Column("contact_id", Id, primary_key=True),
    _text("before"),
    Index("ix_bulk_changes_contact_id", "contact_id", "bulk_id"),
)

hygiene_reports = Table(
    "hygiene_reports", metadata, _id(), _workspace(),
    _text("state", "queued"), _text("phase"), _text("error"),
    Column("options", Json, nullable=False, server_default="{}"),
    Column("counts", Json, nullable=False, server_default="{}"),
    _count("cursor"), _count("until"), _count("seen"),
    _at("created_at"), _at("started_at", True), _at("finished_at", True), _at("heartbeat_at", True),
    Column("tries", Integer, nullable=False, server_default="0"),
    Index("ix_hygiene_reports_workspace_id_id", "workspace_id", "id"),
)

hygiene_findings = Table(
    "hygiene_findings", metadata, _id(), _workspace(),
    Column("report_id", Id, ForeignKey("hygiene_reports.id", ondelete="CASCADE"), nullable=False),
    _text("kind"), Column("contact_id", Id, nullable=False),
    Column("group_key", Key, nullable=False, server_default=""),  # what the two have in common
    _text("suggestion"),
    Index("ix_hygiene_findings_report_id_kind", "report_id", "kind", "id"),
    Index("ix_hygiene_findings_contact_id", "contact_id"),  # so that erasing somebody is quick
)

# Suppressions added, removed and imported, by whom: the table itself shows only what holds now.
suppression_changes = Table(
    "suppression_changes", metadata, _id(), _workspace(),
    _at("at"), _text("action"), Column("email_key", Key, nullable=False, server_default=""), _text("reason"),
    Column("list_id", Id, nullable=True), _text("actor"), _text("note"),
    Index("ix_suppression_changes_workspace_id_id", "workspace_id", "id"),
)

# ---- what recipients choose ------------------------------------------------------------------------------------------

topics = Table(
    "topics", metadata, _id(), _public_id(), _workspace(),
    _text("name"), _text("description"), _count("position"),
    _at("created_at"), _at("archived_at", True),
    UniqueConstraint("workspace_id", "name"),
)

# Only those who chose something have a row; everybody else gets each mail and is counted like the others.
contact_preferences = Table(
    "contact_preferences", metadata,
    Column("contact_id", Id, ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    _workspace(),
    _text("frequency", "each"),  # of whatever has no topic of which they said something else
    _at("paused_until", True), _flag("tracking_off"), _at("changed_at"),
)

contact_topics = Table(
    "contact_topics", metadata,
    Column("contact_id", Id, ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("topic_id", Id, ForeignKey("topics.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    _workspace(), _text("frequency", "each"),
    Index("ix_contact_topics_topic_id", "topic_id", "frequency"),  # counted from the index alone
)

# A mail that waits for somebody's digest: written with the suppressed delivery, given to one digest, once.
digest_items = Table(
    "digest_items", metadata, _id(), _workspace(),
    Column("contact_id", Id, nullable=False),
    Column("campaign_id", Id, nullable=False), Column("delivery_id", Id, nullable=False, unique=True),
    _at("at"), Column("digest_id", Id, nullable=True),  # the campaign that is the digest
    Index("ix_digest_items_open", "workspace_id", "at", "contact_id", sqlite_where=text("digest_id IS NULL"),
          postgresql_where=text("digest_id IS NULL")),
    Index("ix_digest_items_digest_id", "digest_id", "contact_id"),
    Index("ix_digest_items_contact_id", "contact_id"),
)

# One row a digest that was made: what keeps two schedulers, or a restart, from making it twice.
digests = Table(
    "digests", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("cadence", String(8), primary_key=True),
    Column("period", String(16), primary_key=True),  # the day or the Monday, in the workspace's time zone
    Column("campaign_id", Id, nullable=True), _at("made_at"),
)

# Keyed hashes of erased addresses: enough to know them again, not enough to know them.
erased_addresses = Table(
    "erased_addresses", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("digest", String(64), primary_key=True),
    _at("at"),
)

# ---- permission ------------------------------------------------------------------------------------------------------

# How people come onto a list. A list without a row is private and confirmed (double opt-in).
list_signups = Table(
    "list_signups", metadata,
    Column("list_id", Id, ForeignKey("lists.id"), primary_key=True),
    _workspace(),
    _text("opt_in", "double"), _flag("public"),
    _text("language"),  # of its pages and mails; empty: the reader's
    Column("fields", Json, nullable=False, server_default="[]"),  # asked by the form: [{key, required}]
    Column("texts", Json, nullable=False, server_default="{}"),  # language, then consent, welcome_subject, welcome
    _flag("welcome"),
    _text("command"),  # first part of its command addresses; empty: the list's handle
    Column("domain_id", Id, ForeignKey("sending_domains.id"), nullable=True), _text("from_name"),
    Index("ix_list_signups_workspace_id", "workspace_id"),
)

# What people agreed to, word for word: a new version whenever a list's words change.
wordings = Table(
    "wordings", metadata, _id(), _workspace(),
    Column("list_id", Id, ForeignKey("lists.id"), nullable=False),
    Column("language", String(8), nullable=False), Column("version", Integer, nullable=False),
    Column("hash", String(64), nullable=False), _text("text"), _at("created_at"),
    UniqueConstraint("list_id", "language", "hash"),
)

public_pages = Table(
    "public_pages", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("handle", Text, nullable=False, unique=True),  # first part of its pages' addresses
    _text("accent"), _text("logo_type"), _text("logo_hash"), Column("logo", LargeBinary, nullable=True),
    Column("words", Json, nullable=False, server_default="{}"),  # language, then key
    Column("origins", Json, nullable=False, server_default="[]"),  # websites that may use the form by script
    _flag("indexed"),
)

signup_pages = Table(
    "signup_pages", metadata, _id(), _public_id(), _workspace(),
    _text("handle"), _text("title"), _text("intro"), _text("language"),
    Column("list_ids", Json, nullable=False, server_default="[]"),
    _at("created_at"),
    UniqueConstraint("workspace_id", "handle"),
)

# Requests to come or to go that the person has yet to confirm; deleted when they are over, for consents keep the facts.
signups = Table(
    "signups", metadata, _id(), _public_id(), _workspace(),
    _text("action", "subscribe"), _text("email"), Column("email_key", Key, nullable=False, server_default=""),
    _text("domain"), _text("language"),
    Column("list_ids", Json, nullable=False, server_default="[]"),
    Column("wordings", Json, nullable=False, server_default="{}"),  # wording id by list id
    Column("fields", Json, nullable=False, server_default="{}"),
    _text("channel"), _text("source"), _text("ip"), _text("user_agent"), _flag("proven"),
    _text("state", "new"), _text("reason"),
    Column("contact_id", Id, nullable=True), Column("message_id", Id, nullable=True),
    _at("created_at"), _at("expires_at"), _at("ended_at", True),
    Index("ix_signups_state_id", "state", "id"),
    Index("ix_signups_workspace_id_email_key", "workspace_id", "email_key"),
    Index("ix_signups_expires_at", "expires_at"),
)

# How much of a kind there was in a window of time; the key is a keyed hash, so that no address is kept for it.
signup_counts = Table(
    "signup_counts", metadata,
    Column("key", String(64), primary_key=True),
    _at("until"), _count("n"),
    Index("ix_signup_counts_until", "until"),
)

# What came of requests to join, by list and day (UTC): figures without anybody's address, kept when requests are gone.
signup_tallies = Table(
    "signup_tallies", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True, autoincrement=False),
    Column("list_id", Id, primary_key=True, autoincrement=False),
    Column("day", String(10), primary_key=True), Column("outcome", String(20), primary_key=True),
    _count("n"),
)

# A whole message to one person, as it will be signed and sent; its delivery has minus its id for a contact, because one
# person may get several of the hidden campaign that carries them.
messages = Table(
    "messages", metadata, _id(), _public_id(), _workspace(),
    Column("delivery_id", Id, nullable=True, unique=True), Column("contact_id", Id, nullable=True),
    _text("kind"), _text("subject"), Column("raw", LargeBinary, nullable=False), _at("created_at"),
    Column("list_id", Id, nullable=True),  # of mail that can be unsubscribed from: what is left then
    # Added by 0010: what apps hand over. Its octets stand in message_bodies, for this row is read by every list.
    _count("size"), _text("sender"), _text("from_address"),
    Column("from_key", Key, nullable=False, server_default=""),
    Column("subject_key", Key, nullable=False, server_default=""),
    Column("header_id", Key, nullable=False, server_default=""),  # its Message-ID without brackets
    Column("tag", Key, nullable=False, server_default=""),  # the first of its tags
    Column("tags", Json, nullable=False, server_default="[]"),
    Column("metadata", Json, nullable=False, server_default="{}"),
    _text("state", "accepted"), _count("recipients"),
    Column("stream_id", Id, nullable=True), Column("credential_id", Id, nullable=True), _at("send_at", True),
    _flag("track_opens"), _flag("track_clicks"),
    Column("dsn", Json, nullable=True),  # what the sender wants to hear (RFC 3461)
    Index("ix_messages_contact_id", "contact_id", "id"),
    Index("ix_messages_workspace_id_id", "workspace_id", "id"),
    Index("ix_messages_from_key", "workspace_id", "from_key", "id"),
    Index("ix_messages_subject_key", "workspace_id", "subject_key", "id"),
    Index("ix_messages_header_id", "workspace_id", "header_id", "id"),
    Index("ix_messages_tag", "workspace_id", "tag", "id", sqlite_where=text("tag <> ''"),
          postgresql_where=text("tag <> ''")),
    Index("ix_messages_state", "workspace_id", "state", "id", sqlite_where=text("state <> 'accepted'"),
          postgresql_where=text("state <> 'accepted'")),
    Index("ix_messages_scheduled", "send_at", sqlite_where=text("state = 'scheduled'"),
          postgresql_where=text("state = 'scheduled'")),
)

# ---- the relay: streams, credentials, what apps hand over -----------------------------------------------------------

streams = Table(
    "streams", metadata, _id(), _public_id(), _workspace(),
    _text("handle"), _text("name"), _text("kind", "transactional"),
    _flag("track_opens"), _flag("track_clicks"),
    _text("suppressed", "drop"),  # or refuse: what happens to recipients who may not be written to
    Column("keep_days", Integer, nullable=False, server_default="45"), _count("keep_octets"),
    _at("created_at"), _at("archived_at", True),
    UniqueConstraint("workspace_id", "handle"),
)

# SMTP user names and API keys; the secret itself is shown once and kept nowhere.
credentials = Table(
    "credentials", metadata, _id(), _public_id(), _workspace(),
    _text("kind"), _text("name"),
    Column("login", Key, nullable=False, server_default=""),  # the user name, or the key's public first part
    _text("secret_hash"), Column("scopes", Json, nullable=False, server_default="[]"),
    _text("stream"), Column("domains", Json, nullable=False, server_default="[]"),
    Column("networks", Json, nullable=False, server_default="[]"),
    _text("rate"), _flag("sandbox"), _text("created_by"),
    _at("created_at"), _at("last_used_at", True), _at("revoked_at", True),
    UniqueConstraint("login"),
    Index("ix_credentials_workspace_id_id", "workspace_id", "id"),
)

message_bodies = Table(
    "message_bodies", metadata,
    Column("message_id", Id, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    _workspace(),
    Column("raw", LargeBinary, nullable=False),
)

# Idempotency keys of apps, as SHA-256: the same key within a day means the same message.
message_keys = Table(
    "message_keys", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True, autoincrement=False),
    Column("key", String(64), primary_key=True),
    Column("message_id", Id, nullable=False), _text("fingerprint"), _at("created_at"),
    Index("ix_message_keys_created_at", "created_at"),
)

# ---- segments -------------------------------------------------------------------------------------------------------

segments = Table(
    "segments", metadata, _id(), _public_id(), _workspace(),
    _text("name"), _text("description"),
    Column("rule", Json, nullable=False),  # esp.model.segment_json
    Column("counted", Id, nullable=True), _at("counted_at", True),  # the last count, to be shown until the next is made
    _at("created_at"), _at("updated_at"),
    UniqueConstraint("workspace_id", "name"),
)

segment_snapshots = Table(
    "segment_snapshots", metadata, _id(), _workspace(),
    Column("segment_id", Id, ForeignKey("segments.id", ondelete="SET NULL"), nullable=True, index=True),
    _text("name"), Column("rule", Json, nullable=False), _count("size"), _at("created_at"),
)

segment_members = Table(
    "segment_members", metadata, _workspace(),
    Column("snapshot_id", Id, ForeignKey("segment_snapshots.id", ondelete="CASCADE"), primary_key=True,
           autoincrement=False),
    Column("contact_id", Id, ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Index("ix_segment_members_contact_id", "contact_id"),
)

# ---- campaigns ------------------------------------------------------------------------------------------------------

campaigns = Table(
    "campaigns", metadata, _id(), _public_id(), _workspace(),
    _text("name"), _text("state", "draft"), _text("state_reason"),
    Column("domain_id", Id, ForeignKey("sending_domains.id"), nullable=True),
    _text("from_name"), _text("from_address"), _text("reply_to"),
    Column("include_lists", Json, nullable=False, server_default="[]"),
    Column("exclude_lists", Json, nullable=False, server_default="[]"),
    _text("throttle"),  # a rate such as 600/min, or empty
    _flag("track_opens", True), _flag("track_clicks", True),
    _at("created_at"), _at("updated_at"), _at("scheduled_at", True), _at("started_at", True), _at("finished_at", True),
    # The walk over the audience (it is lazy and resumes by key): the last contact written, and whether it is done.
    _count("walk_cursor"), _flag("walk_done"), _count("walk_until"),
    _count("version"),
    Column("test_of", Id, nullable=True),  # a test send: a hidden campaign of one delivery, to no contact
    Column("sample", Json, nullable=False, server_default="{}"),  # its merge fields
    # Of the people on the included lists only those in one of these segments, and none of those; frozen at the start.
    Column("include_segments", Json, nullable=False, server_default="[]"),
    Column("exclude_segments", Json, nullable=False, server_default="[]"),
    Column("segment_rules", Json, nullable=True),
    _text("stream", "broadcast"),  # or transactional: a hidden one that single messages are sent and counted by
    # Added by 0006; what 0002 to 0005 add stands above these.
    Column("topic_id", Id, nullable=True), _flag("in_archive", True),
    _text("digest"),  # daily or weekly: this campaign is a digest, which gathers others
    Column("relay_stream_id", Id, nullable=True),  # 0010: it carries what apps hand over for this stream
    Index("ix_campaigns_workspace_id_id", "workspace_id", "id"),
    Index("ix_campaigns_open", "state", "scheduled_at"),
)

variants = Table(
    "variants", metadata, _id(), _workspace(),
    Column("campaign_id", Id, ForeignKey("campaigns.id"), nullable=False, index=True),
    _text("label"), _text("subject"), _text("preheader"), _text("kind"), _text("source"),
    Column("weight", Integer, nullable=False, server_default="1"),
    Column("compiled", LargeBinary, nullable=True),  # set once, when the campaign is frozen
    UniqueConstraint("campaign_id", "label"),
)

links = Table(
    "links", metadata, _id(), _workspace(),
    Column("campaign_id", Id, ForeignKey("campaigns.id"), nullable=False),
    Column("variant_id", Id, ForeignKey("variants.id"), nullable=False),
    Column("link_index", Integer, nullable=False), _text("url"), _text("text"),
    UniqueConstraint("campaign_id", "link_index"),
)

batches = Table(
    "batches", metadata, _id(), _workspace(),
    Column("campaign_id", Id, ForeignKey("campaigns.id"), nullable=False, index=True),
    _text("provider"), _text("stream", "broadcast"),
    _text("state", "ready"),  # ready, leased, done
    _at("due_at"), _text("owner"), _at("lease_until", True), _count("fence"), _count("size"),
    Index("ix_batches_claim", "state", "due_at", "id"),
)

deliveries = Table(
    "deliveries", metadata, _id(),
    Column("workspace_id", Id, nullable=False), Column("campaign_id", Id, nullable=False),
    Column("contact_id", Id, nullable=False),
    Column("variant_id", Id, nullable=False),
    Column("batch_id", Id, nullable=True),  # null where it never went or has ended
    _text("address"), _text("domain"), _text("provider"),
    _text("state", "queued"), _text("reason"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("reply_code", Integer, nullable=False, server_default="0"), _text("reply"),
    _flag("maybe_duplicate"),
    _at("created_at"), _at("due_at", True), _at("ended_at", True),
    _at("opened_at", True), _at("machine_opened_at", True), _at("clicked_at", True), _at("machine_clicked_at", True),
    _at("unsubscribed_at", True), _at("complained_at", True),
    # Added by 0010: of what message of an app's it is, and the address in the form that is searched for.
    Column("message_id", Id, nullable=True), Column("recipient_key", Key, nullable=True),
    # What its sender hears of it (RFC 3461): of failure, also of success, or never; and when that was seen to.
    _text("report", "failure"), _at("reported_at", True),
    Index("ix_deliveries_message_id", "message_id", "id", sqlite_where=text("message_id IS NOT NULL"),
          postgresql_where=text("message_id IS NOT NULL")),
    Index("ix_deliveries_recipient_key", "workspace_id", "recipient_key", "id",
          sqlite_where=text("message_id IS NOT NULL"), postgresql_where=text("message_id IS NOT NULL")),
    Index("ix_deliveries_unreported", "id", sqlite_where=text(unreported_where()),
          postgresql_where=text(unreported_where())),
    Index("ix_deliveries_relay_state", "workspace_id", "state", "id", sqlite_where=text("message_id IS NOT NULL"),
          postgresql_where=text("message_id IS NOT NULL")),
    _held("workspace_id", "workspaces.id"), _held("campaign_id", "campaigns.id"),
    UniqueConstraint("campaign_id", "contact_id"),
    Index("ix_deliveries_batch_id", "batch_id", "id"),
    Index("ix_deliveries_contact_id", "contact_id", "id"),
    # The provider stands last so that one provider's people are found without a look at every other's row.
    Index("ix_deliveries_campaign_state", "campaign_id", "state", "id", "provider"),
    # The people behind a number, each index only as large as the number is.
    *(Index(f"ix_deliveries_{mark}", "campaign_id", "id", "provider", sqlite_where=text(f"{mark}_at IS NOT NULL"),
            postgresql_where=text(f"{mark}_at IS NOT NULL"))
      for mark in ("opened", "machine_opened", "clicked", "machine_clicked", "unsubscribed", "complained")),
    # Who opened or clicked anything, when: for segments, read from the index alone.
    *(Index(f"ix_deliveries_people_{mark}", "workspace_id", f"{mark}_at", "contact_id",
            sqlite_where=text(f"{mark}_at IS NOT NULL"), postgresql_where=text(f"{mark}_at IS NOT NULL"))
      for mark in ("opened", "clicked")),
    Index("ix_deliveries_people_bounced", "workspace_id", "ended_at", "contact_id",
          sqlite_where=text("state = 'bounced'"), postgresql_where=text("state = 'bounced'")),
)

events = Table(
    "events", metadata, _id(), Column("workspace_id", Id, nullable=False),
    _text("type"), _at("at"),
    Column("campaign_id", Id, nullable=True), Column("delivery_id", Id, nullable=True),
    Column("contact_id", Id, nullable=True), Column("variant_id", Id, nullable=True),
    Column("link_index", Integer, nullable=True),
    _text("provider"), _text("agent"), _text("ip"), _text("user_agent"),
    Column("detail", Json, nullable=True),
    _held("workspace_id", "workspaces.id"),
    Index("ix_events_delivery_id", "delivery_id", "id"),
    Index("ix_events_contact_id", "contact_id", "id"),
    Index("ix_events_campaign_type", "campaign_id", "type", "id"),
    Index("ix_events_campaign_link", "campaign_id", "link_index", "delivery_id",
          sqlite_where=text("type = 'clicked'"), postgresql_where=text("type = 'clicked'")),
)

# Rollups: how often ``metric`` happened in ``campaign`` for ``member`` of ``dimension``, where dimension is one of
# total (member ''), provider, variant, link, minute (ISO), reason. Kept in the transaction that appends the events.
tallies = Table(
    "tallies", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("campaign_id", Id, primary_key=True),
    Column("dimension", String(16), primary_key=True),
    Column("member", Text, primary_key=True),
    Column("metric", String(32), primary_key=True),
    _count("n"),
)

# ---- how contacts listen: folded from events (adapters/sql/listening.py), and rebuilt from them by a command --------

# One row a contact who was ever sent a mail that could tell of a response. An *opportunity* is a delivered mail of a
# tracked campaign, numbered in the order of their ``delivered`` events; a *response* is one that a person (no machine)
# opened or clicked. ``recency`` is the number of the last opportunity responded to, 0 where none; with ``responses``
# and ``opportunities`` it is all that the model of engagement_odds needs. The counts are exact up to
# event_folds.cursor, which runs some seconds behind; ``opens`` and ``clicks`` count mails and not repetitions.
contact_engagement = Table(
    "contact_engagement", metadata,
    Column("contact_id", Id, ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    _workspace(),
    _count("opportunities"), _count("responses"), _count("recency"), _count("opens"), _count("clicks"),
    _count("complaints"),
    _at("first_sent_at", True), _at("last_sent_at", True), _at("last_opened_at", True), _at("last_clicked_at", True),
    # The score as it stood at its instant; the rank orders all of them at any moment (esp.events.score).
    Column("score", Double, nullable=False, server_default="0"), _at("score_at", True),
    Column("score_rank", Double, nullable=True),
    Column("times", LargeBinary, nullable=True),  # responses by hour (24) and weekday (7) of theirs, an octet each
    _flag("waiting"),  # responded to a mail of which no ``delivered`` was seen yet
    _flag("stale"),  # its events were changed behind the fold: to be counted anew
    _text("level", "new"), _at("level_at", True), _count("level_responses"),  # ``responses`` when it got that level
    Index("ix_contact_engagement_score_rank", "workspace_id", "score_rank", "contact_id"),
    Index("ix_contact_engagement_level", "workspace_id", "level", "contact_id"),
    Index("ix_contact_engagement_stale", "contact_id", sqlite_where=text("stale"), postgresql_where=text("stale")),
)

# What the model says of everybody with the same history: a million contacts have but some thousand different ones, so
# that a refit rewrites these rows and no contact's. Joined by workspace and the three counts.
engagement_odds = Table(
    "engagement_odds", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("opportunities", Id, primary_key=True, autoincrement=False),
    Column("responses", Id, primary_key=True, autoincrement=False),
    Column("recency", Id, primary_key=True, autoincrement=False),
    Column("alive", Double, nullable=False),  # the probability of still responding at all
    Column("expected", Double, nullable=False),  # responses to the next ten mails
    Column("next", Double, nullable=False),  # the probability of a response to the next one
    _text("level"),  # where such people belong; who may go there says esp.model.listening.MOVES
)

engagement_fits = Table(
    "engagement_fits", metadata, _id(), _workspace(), _at("at"),
    *(Column(name, Double, nullable=False) for name in ("alpha", "beta", "gamma", "delta")),
    Column("covariance", Json, nullable=True),  # of the logarithms of the four
    Column("log_likelihood", Double, nullable=False), _count("people"), _flag("converged"),
    Column("crowds", Json, nullable=False, server_default="{}"),  # shares by hour and weekday, and their weight
    Index("ix_engagement_fits_workspace_id_id", "workspace_id", "id"),
)

level_moves = Table(
    "level_moves", metadata, _id(), _workspace(),
    Column("contact_id", Id, ForeignKey("contacts.id", ondelete="CASCADE"), nullable=False),
    _at("at"), _text("from_level"), _text("to_level"),
    Index("ix_level_moves_contact_id", "contact_id", "id"),
    Index("ix_level_moves_workspace_id_at", "workspace_id", "at"),
)

# How many stood on each level at the end of each day.
engagement_days = Table(
    "engagement_days", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("day", String(10), primary_key=True), Column("level", String(16), primary_key=True),
    _count("n"),
)

engagement_reports = Table(
    "engagement_reports", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True),
    _at("made_at"), Column("data", Json, nullable=False, server_default="{}"),
)

# How far a reader of ``events`` has come. On PostgreSQL ids may become visible out of order: nothing is read past
# ``ahead`` before every transaction that could still hold a lower id has ended (``mark``, a transaction id).
event_folds = Table(
    "event_folds", metadata,
    Column("name", String(32), primary_key=True),
    _count("cursor"), _count("ahead"), _count("mark"), _at("moved_at", True),
)

# ---- mail that came in ----------------------------------------------------------------------------------------------

inbound_messages = Table(
    "inbound_messages", metadata, _id(),
    Column("workspace_id", Id, nullable=True),  # known once correlated
    _at("received_at"), _text("mail_from"), _text("rcpt_to"), _text("peer"),
    Column("raw", LargeBinary, nullable=False),
    _text("state", "new"), _text("kind"), _text("outcome"),
    Column("delivery_id", Id, nullable=True),
    Column("pickup_id", Id, nullable=True),  # the mailbox that it was collected from
    Index("ix_inbound_messages_state_id", "state", "id"),
)

# ---- mailboxes elsewhere that are collected from -------------------------------------------------------------------

pickups = Table(
    "pickups", metadata, _id(), _public_id(), _workspace(),
    _text("name"), _text("protocol"), _text("host"), Column("port", Integer, nullable=False), _text("security"),
    _text("username"), _text("secret"),  # sealed with the server's key; never shown again
    _text("folder"), _text("afterwards"),
    _text("position"), _count("collected"), _count("skipped"), _text("error"),
    _at("created_at"), _at("checked_at", True), _at("paused_at", True),
    Index("ix_pickups_workspace_id_id", "workspace_id", "id"),
)

pickup_seen = Table(
    "pickup_seen", metadata, _workspace(),
    # What was stored and is, or may be, still at the other side.
    Column("pickup_id", Id, ForeignKey("pickups.id", ondelete="CASCADE"), primary_key=True),
    Column("uid", Text, primary_key=True),
)

# ---- the API: what requests with an idempotency key were answered, for a day -----------------------------------------

api_answers = Table(
    "api_answers", metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("key", Text, primary_key=True),  # as the client sent it: two workspaces may use the same
    Column("digest", String(64), nullable=False), Column("owner", String(32), nullable=False),
    Column("status", Integer, nullable=False, server_default="0"),  # 0: it still runs
    Column("body", LargeBinary, nullable=False),
    _at("lease_until"), _at("keep_until"),
    Index("ix_api_answers_keep_until", "keep_until"),
)

# Texts with merge fields for apps' messages, filled in by the data of each.
templates = Table(
    "templates", metadata, _id(), _public_id(), _workspace(),
    _text("name"), _text("subject"), _text("text"), _text("html"),
    _at("created_at"), _at("updated_at"),
    UniqueConstraint("workspace_id", "name"),
    Index("ix_templates_workspace_id_id", "workspace_id", "id"),
)

# ---- webhooks -------------------------------------------------------------------------------------------------------

webhook_endpoints = Table(
    "webhook_endpoints", metadata, _id(), _public_id(), _workspace(),
    _text("url"), _text("secret"),  # sealed with the server's key
    Column("types", Json, nullable=False, server_default="[]"),
    _count("cursor"),  # the last event that it is done with
    Column("tries", Integer, nullable=False, server_default="0"), _at("failing_since", True), _at("next_at"),
    _at("created_at"), _at("paused_at", True), _text("paused_reason"),
    Index("ix_webhook_endpoints_workspace_id_id", "workspace_id", "id"),
)

webhook_tries = Table(
    "webhook_tries", metadata, _id(), _workspace(),
    Column("endpoint_id", Id, ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", Id, nullable=False), _at("at"),
    Column("milliseconds", Integer, nullable=False), Column("status", Integer, nullable=False), _text("answer"),
    _flag("taken"),  # False again for what is to be posted once more
    Index("ix_webhook_tries_endpoint_id_id", "endpoint_id", "id"),
    Index("ix_webhook_tries_endpoint_id_event_id", "endpoint_id", "event_id"),
    Index("ix_webhook_tries_at", "at"),
)

# ---- upkeep ---------------------------------------------------------------------------------------------------------

journal_offsets = Table(
    "journal_offsets", metadata,
    Column("journal", Text, primary_key=True),  # file name of a journal; moved in the transaction that applies it
    _count("offset"),
)

destinations = Table(
    "destinations", metadata,
    Column("domain", Text, primary_key=True),
    _text("provider"), _at("resolved_at"),
    _at("checked_at", True), _at("dead_since", True),  # by hygiene: when DNS last said whether it takes mail, or not
)

server_facts = Table(
    "server_facts", metadata,
    Column("name", Text, primary_key=True),  # e.g. when set-up was done; never secrets
    Column("value", Json, nullable=False),
)
