"""How people come in: opt-in per list, wordings, confirmations, pages of their own looks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)
TABLES = ("messages", "signup_counts", "signups", "signup_pages", "public_pages", "wordings", "list_signups")


def _text(name: str, default: str = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _json(name: str, default: str = "{}") -> sa.Column[object]:
    return sa.Column(name, JSON, server_default=default, nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)


def _to(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"))


def upgrade() -> None:
    op.add_column("consents", sa.Column("wording_id", ID, nullable=True))
    op.add_column("campaigns", _text("stream", "broadcast"))
    op.create_table(
        "list_signups",
        sa.Column("list_id", ID, nullable=False), sa.Column("workspace_id", ID, nullable=False),
        _text("opt_in", "double"), _flag("public"), _text("language"), _json("fields", "[]"), _json("texts"),
        _flag("welcome"), _text("command"), sa.Column("domain_id", ID, nullable=True), _text("from_name"),
        _to("list_signups", "list_id", "lists"), _to("list_signups", "workspace_id", "workspaces"),
        _to("list_signups", "domain_id", "sending_domains"),
        sa.PrimaryKeyConstraint("list_id", name=op.f("pk_list_signups")),
    )
    op.create_index("ix_list_signups_workspace_id", "list_signups", ["workspace_id"])
    op.create_table(
        "wordings",
        sa.Column("id", ID, autoincrement=True, nullable=False), sa.Column("workspace_id", ID, nullable=False),
        sa.Column("list_id", ID, nullable=False), sa.Column("language", sa.String(8), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False), sa.Column("hash", sa.String(64), nullable=False),
        _text("text"), sa.Column("created_at", INSTANT, nullable=False),
        _to("wordings", "workspace_id", "workspaces"), _to("wordings", "list_id", "lists"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wordings")),
        sa.UniqueConstraint("list_id", "language", "hash", name=op.f("uq_wordings_list_id_language_hash")),
    )
    op.create_table(
        "public_pages",
        sa.Column("workspace_id", ID, nullable=False), sa.Column("handle", sa.Text(), nullable=False),
        _text("accent"), _text("logo_type"), _text("logo_hash"), sa.Column("logo", sa.LargeBinary(), nullable=True),
        _json("words"), _json("origins", "[]"), _flag("indexed"),
        _to("public_pages", "workspace_id", "workspaces"),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_public_pages")),
        sa.UniqueConstraint("handle", name=op.f("uq_public_pages_handle")),
    )
    op.create_table(
        "signup_pages",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(32), nullable=False), sa.Column("workspace_id", ID, nullable=False),
        _text("handle"), _text("title"), _text("intro"), _text("language"), _json("list_ids", "[]"),
        sa.Column("created_at", INSTANT, nullable=False),
        _to("signup_pages", "workspace_id", "workspaces"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signup_pages")),
        sa.UniqueConstraint("public_id", name=op.f("uq_signup_pages_public_id")),
        sa.UniqueConstraint("workspace_id", "handle", name=op.f("uq_signup_pages_workspace_id_handle")),
    )
    op.create_table(
        "signups",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(32), nullable=False), sa.Column("workspace_id", ID, nullable=False),
        _text("action", "subscribe"), _text("email"), sa.Column("email_key", KEY, server_default="", nullable=False),
        _text("domain"), _text("language"), _json("list_ids", "[]"), _json("wordings"), _json("fields"),
        _text("channel"), _text("source"), _text("ip"), _text("user_agent"), _flag("proven"),
        _text("state", "new"), _text("reason"),
        sa.Column("contact_id", ID, nullable=True), sa.Column("message_id", ID, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False), sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        _to("signups", "workspace_id", "workspaces"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signups")),
        sa.UniqueConstraint("public_id", name=op.f("uq_signups_public_id")),
    )
    op.create_index("ix_signups_state_id", "signups", ["state", "id"])
    op.create_index("ix_signups_workspace_id_email_key", "signups", ["workspace_id", "email_key"])
    op.create_index("ix_signups_expires_at", "signups", ["expires_at"])
    op.create_table(
        "signup_counts",
        sa.Column("key", sa.String(64), nullable=False), sa.Column("until", INSTANT, nullable=False),
        sa.Column("n", ID, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_signup_counts")),
    )
    op.create_index("ix_signup_counts_until", "signup_counts", ["until"])
    op.create_table(
        "messages",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(32), nullable=False), sa.Column("workspace_id", ID, nullable=False),
        sa.Column("delivery_id", ID, nullable=True), sa.Column("contact_id", ID, nullable=True),
        _text("kind"), _text("subject"), sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False), sa.Column("list_id", ID, nullable=True),
        _to("messages", "workspace_id", "workspaces"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("public_id", name=op.f("uq_messages_public_id")),
        sa.UniqueConstraint("delivery_id", name=op.f("uq_messages_delivery_id")),
    )
    op.create_index("ix_messages_contact_id", "messages", ["contact_id", "id"])


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    op.drop_column("campaigns", "stream")
    op.drop_column("consents", "wording_id")
