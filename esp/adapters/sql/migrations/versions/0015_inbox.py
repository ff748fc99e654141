"""Mailboxes elsewhere that are collected from."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, ID, server_default="0", nullable=False)


def upgrade() -> None:
    op.create_table(
        "pickups",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        _text("name"), _text("protocol"), _text("host"), sa.Column("port", sa.Integer(), nullable=False),
        _text("security"), _text("username"), _text("secret"), _text("folder"), _text("afterwards"),
        _text("position"), _count("collected"), _count("skipped"), _text("error"),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("checked_at", INSTANT, nullable=True),
        sa.Column("paused_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_pickups_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pickups")),
        sa.UniqueConstraint("public_id", name=op.f("uq_pickups_public_id")),
    )
    op.create_index("ix_pickups_workspace_id_id", "pickups", ["workspace_id", "id"])
    op.create_table(
        "pickup_seen",
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("pickup_id", ID, nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_pickup_seen_workspace_id")),
        sa.ForeignKeyConstraint(["pickup_id"], ["pickups.id"], name=op.f("fk_pickup_seen_pickup_id"),
                                ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pickup_id", "uid", name=op.f("pk_pickup_seen")),
    )
    op.add_column("inbound_messages", sa.Column("pickup_id", ID, nullable=True))


def downgrade() -> None:
    op.drop_column("inbound_messages", "pickup_id")
    op.drop_table("pickup_seen")
    op.drop_table("pickups")
