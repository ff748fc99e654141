"""What recipients choose: topics, frequency, pauses; digests; archives; who had their data erased."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def _workspace() -> sa.Column[int]:
    return sa.Column("workspace_id", ID, nullable=False)


def _of_workspace(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f(f"fk_{table}_workspace_id"))


def _of(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"), ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "topics",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False), _workspace(),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("position", ID, server_default="0", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False), sa.Column("archived_at", INSTANT, nullable=True),
        _of_workspace("topics"), sa.PrimaryKeyConstraint("id", name=op.f("pk_topics")),
        sa.UniqueConstraint("public_id", name=op.f("uq_topics_public_id")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_topics_workspace_id_name")),
    )
    op.create_table(
        "contact_preferences",
        sa.Column("contact_id", ID, autoincrement=False, nullable=False), _workspace(),
        sa.Column("frequency", sa.Text(), server_default="each", nullable=False),
        sa.Column("paused_until", INSTANT, nullable=True),
        sa.Column("tracking_off", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        _of("contact_preferences", "contact_id", "contacts.id"), _of_workspace("contact_preferences"),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_contact_preferences")),
    )
    op.create_table(
        "contact_topics",
        sa.Column("contact_id", ID, autoincrement=False, nullable=False),
        sa.Column("topic_id", ID, autoincrement=False, nullable=False), _workspace(),
        sa.Column("frequency", sa.Text(), server_default="each", nullable=False),
        _of("contact_topics", "contact_id", "contacts.id"), _of("contact_topics", "topic_id", "topics.id"),
        _of_workspace("contact_topics"),
        sa.PrimaryKeyConstraint("contact_id", "topic_id", name=op.f("pk_contact_topics")),
    )
    op.create_index("ix_contact_topics_topic_id", "contact_topics", ["topic_id"])
    op.create_table(
        "digest_items",
        sa.Column("id", ID, autoincrement=True, nullable=False), _workspace(),
        sa.Column("contact_id", ID, nullable=False), sa.Column("campaign_id", ID, nullable=False),
        sa.Column("delivery_id", ID, nullable=False), sa.Column("at", INSTANT, nullable=False),
        sa.Column("digest_id", ID, nullable=True),
        _of_workspace("digest_items"), sa.PrimaryKeyConstraint("id", name=op.f("pk_digest_items")),
        sa.UniqueConstraint("delivery_id", name=op.f("uq_digest_items_delivery_id")),
    )
    op.create_index(
        "ix_digest_items_open", "digest_items", ["workspace_id", "at", "contact_id"],
        sqlite_where=sa.text("digest_id IS NULL"), postgresql_where=sa.text("digest_id IS NULL"),
    )
    op.create_index("ix_digest_items_digest_id", "digest_items", ["digest_id", "contact_id"])
    op.create_index("ix_digest_items_contact_id", "digest_items", ["contact_id"])
    op.create_table(
        "digests", _workspace(),
        sa.Column("cadence", sa.String(length=8), nullable=False),
        sa.Column("period", sa.String(length=16), nullable=False),
        sa.Column("campaign_id", ID, nullable=True), sa.Column("made_at", INSTANT, nullable=False),
        _of_workspace("digests"),
        sa.PrimaryKeyConstraint("workspace_id", "cadence", "period", name=op.f("pk_digests")),
    )
    op.create_table(
        "erased_addresses", _workspace(),
        sa.Column("digest", sa.String(length=64), nullable=False), sa.Column("at", INSTANT, nullable=False),
        _of_workspace("erased_addresses"),
        sa.PrimaryKeyConstraint("workspace_id", "digest", name=op.f("pk_erased_addresses")),
    )
    op.add_column("lists", sa.Column("archive", sa.Text(), server_default="off", nullable=False))
    op.add_column(
        "lists", sa.Column("archive_indexed", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("lists", sa.Column("tracking", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column("campaigns", sa.Column("topic_id", ID, nullable=True))
    op.add_column("campaigns", sa.Column("in_archive", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column("campaigns", sa.Column("digest", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    for column in ("digest", "in_archive", "topic_id"):
        op.drop_column("campaigns", column)
    for column in ("tracking", "archive_indexed", "archive"):
        op.drop_column("lists", column)
    for index in ("contact_id", "digest_id", "open"):
        op.drop_index(f"ix_digest_items_{index}", table_name="digest_items")
    op.drop_index("ix_contact_topics_topic_id", table_name="contact_topics")
    for table in ("erased_addresses", "digests", "digest_items", "contact_topics", "contact_preferences", "topics"):
        op.drop_table(table)
