"""Credentials, streams and messages of the relay."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)
TABLES = ("message_keys", "message_bodies", "credentials", "streams")
# Name, columns, and of which rows: an index of few rows costs the others nothing.
MESSAGE_INDEXES = (
    ("ix_messages_workspace_id_id", ("workspace_id", "id"), None),
    ("ix_messages_from_key", ("workspace_id", "from_key", "id"), None),
    ("ix_messages_subject_key", ("workspace_id", "subject_key", "id"), None),
    ("ix_messages_header_id", ("workspace_id", "header_id", "id"), None),
    ("ix_messages_tag", ("workspace_id", "tag", "id"), "tag <> ''"),
    ("ix_messages_state", ("workspace_id", "state", "id"), "state <> 'accepted'"),
    ("ix_messages_scheduled", ("send_at",), "state = 'scheduled'"),
)
DELIVERY_INDEXES = (
    ("ix_deliveries_message_id", ("message_id", "id")),
    ("ix_deliveries_recipient_key", ("workspace_id", "recipient_key", "id")),
    ("ix_deliveries_relay_state", ("workspace_id", "state", "id")),
)
MESSAGE_COLUMNS = (
    "size", "sender", "from_address", "from_key", "subject_key", "header_id", "tag", "tags", "metadata", "state",
    "recipients", "stream_id", "credential_id", "send_at", "track_opens", "track_clicks", "dsn",
)


UNREPORTED = (
    "message_id IS NOT NULL AND reported_at IS NULL AND (state IN ('bounced', 'expired') OR "
    "(state = 'delivered' AND report = 'success'))"
)


def _id() -> sa.Column[int]:
    return sa.Column("id", ID, autoincrement=True, nullable=False)


def _public_id() -> sa.Column[str]:
    return sa.Column("public_id", sa.String(32), nullable=False)


def _workspace() -> sa.Column[int]:
    return sa.Column("workspace_id", ID, nullable=False)


def _text(name: str, default: str = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, KEY, server_default="", nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, ID, server_default="0", nullable=False)


def _json(name: str, default: str = "{}") -> sa.Column[object]:
    return sa.Column(name, JSON, server_default=default, nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)


def _at(name: str, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, INSTANT, nullable=nullable)


def _to(table: str, column: str, other: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete=ondelete)


def upgrade() -> None:
    for column in (
        _count("size"), _text("sender"), _text("from_address"), _key("from_key"), _key("subject_key"),
        _key("header_id"), _key("tag"), _json("tags", "[]"), _json("metadata"), _text("state", "accepted"),
        _count("recipients"), sa.Column("stream_id", ID, nullable=True), sa.Column("credential_id", ID, nullable=True),
        _at("send_at", True), _flag("track_opens"), _flag("track_clicks"), sa.Column("dsn", JSON, nullable=True),
    ):
        op.add_column("messages", column)
    for name, columns, where in MESSAGE_INDEXES:
        of = sa.text(where) if where else None
        op.create_index(name, "messages", list(columns), sqlite_where=of, postgresql_where=of)
    op.add_column("campaigns", sa.Column("relay_stream_id", ID, nullable=True))
    op.add_column("deliveries", sa.Column("message_id", ID, nullable=True))
    op.add_column("deliveries", sa.Column("recipient_key", KEY, nullable=True))
    op.add_column("deliveries", _text("report", "failure"))
    op.add_column("deliveries", _at("reported_at", True))
    of = sa.text(UNREPORTED)
    op.create_index("ix_deliveries_unreported", "deliveries", ["id"], sqlite_where=of, postgresql_where=of)
    for name, columns in DELIVERY_INDEXES:
        of = sa.text("message_id IS NOT NULL")
        op.create_index(name, "deliveries", list(columns), sqlite_where=of, postgresql_where=of)
    _make_tables()
    # What waits to be sent is found by its message from now on.
    op.execute(
        "UPDATE deliveries SET message_id = (SELECT m.id FROM messages m WHERE m.delivery_id = deliveries.id), "
        "recipient_key = lower(address), report = 'never' "
        "WHERE id IN (SELECT delivery_id FROM messages WHERE delivery_id IS NOT NULL)")
    op.execute("UPDATE messages SET size = length(raw), recipients = 1")


def _make_tables() -> None:
    op.create_table(
        "streams", _id(), _public_id(), _workspace(),
        _text("handle"), _text("name"), _text("kind", "transactional"), _flag("track_opens"), _flag("track_clicks"),
        _text("suppressed", "drop"), sa.Column("keep_days", sa.Integer(), server_default="45", nullable=False),
        _count("keep_octets"), _at("created_at"), _at("archived_at", True),
        _to("streams", "workspace_id", "workspaces"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_streams")),
        sa.UniqueConstraint("public_id", name=op.f("uq_streams_public_id")),
        sa.UniqueConstraint("workspace_id", "handle", name=op.f("uq_streams_workspace_id_handle")),
    )
    op.create_table(
        "credentials", _id(), _public_id(), _workspace(),
        _text("kind"), _text("name"), _key("login"), _text("secret_hash"), _json("scopes", "[]"), _text("stream"),
        _json("domains", "[]"), _json("networks", "[]"), _text("rate"), _flag("sandbox"), _text("created_by"),
        _at("created_at"), _at("last_used_at", True), _at("revoked_at", True),
        _to("credentials", "workspace_id", "workspaces"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credentials")),
        sa.UniqueConstraint("public_id", name=op.f("uq_credentials_public_id")),
        sa.UniqueConstraint("login", name=op.f("uq_credentials_login")),
    )
    op.create_index("ix_credentials_workspace_id_id", "credentials", ["workspace_id", "id"])
    op.create_table(
        "message_bodies", sa.Column("message_id", ID, autoincrement=False, nullable=False), _workspace(),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        _to("message_bodies", "message_id", "messages", ondelete="CASCADE"),
        _to("message_bodies", "workspace_id", "workspaces"),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_message_bodies")),
    )
    op.create_table(
        "message_keys", _workspace(), sa.Column("key", sa.String(64), nullable=False),
        sa.Column("message_id", ID, nullable=False), _text("fingerprint"), _at("created_at"),
        _to("message_keys", "workspace_id", "workspaces"),
        sa.PrimaryKeyConstraint("workspace_id", "key", name=op.f("pk_message_keys")),
    )
    op.create_index("ix_message_keys_created_at", "message_keys", ["created_at"])


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    for name, _columns in DELIVERY_INDEXES:
        op.drop_index(name, "deliveries")
    op.drop_index("ix_deliveries_unreported", "deliveries")
    for column in ("reported_at", "report", "recipient_key"):
        op.drop_column("deliveries", column)
    op.drop_column("deliveries", "message_id")
    op.drop_column("campaigns", "relay_stream_id")
    for name, _fields, _where in MESSAGE_INDEXES:
        op.drop_index(name, "messages")
    for column in reversed(MESSAGE_COLUMNS):
        op.drop_column("messages", column)
