"""Segments: saved rules, their snapshots, and campaigns that are sent to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "segments",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("rule", JSON, nullable=False),
        sa.Column("counted", ID, nullable=True),
        sa.Column("counted_at", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_segments_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        sa.UniqueConstraint("public_id", name=op.f("uq_segments_public_id")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_segments_workspace_id_name")),
    )
    op.create_table(
        "segment_snapshots",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("segment_id", ID, nullable=True),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("rule", JSON, nullable=False),
        sa.Column("size", ID, server_default="0", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_segment_snapshots_workspace_id")),
        sa.ForeignKeyConstraint(["segment_id"], ["segments.id"], name=op.f("fk_segment_snapshots_segment_id"),
                                ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment_snapshots")),
    )
    op.create_index(op.f("ix_segment_snapshots_segment_id"), "segment_snapshots", ["segment_id"])
    op.create_table(
        "segment_members",
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("snapshot_id", ID, autoincrement=False, nullable=False),
        sa.Column("contact_id", ID, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_segment_members_workspace_id")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["segment_snapshots.id"],
                                name=op.f("fk_segment_members_snapshot_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name=op.f("fk_segment_members_contact_id"),
                                ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("snapshot_id", "contact_id", name=op.f("pk_segment_members")),
    )
    op.create_index("ix_segment_members_contact_id", "segment_members", ["contact_id"])
    op.add_column("campaigns", sa.Column("include_segments", JSON, server_default="[]", nullable=False))
    op.add_column("campaigns", sa.Column("exclude_segments", JSON, server_default="[]", nullable=False))
    op.add_column("campaigns", sa.Column("segment_rules", JSON, nullable=True))
    for mark in ("opened", "clicked"):
        condition = sa.text(f"{mark}_at IS NOT NULL")
        op.create_index(f"ix_deliveries_people_{mark}", "deliveries", ["workspace_id", f"{mark}_at", "contact_id"],
                        sqlite_where=condition, postgresql_where=condition)
    bounced = sa.text("state = 'bounced'")
    op.create_index("ix_deliveries_people_bounced", "deliveries", ["workspace_id", "ended_at", "contact_id"],
                    sqlite_where=bounced, postgresql_where=bounced)


def downgrade() -> None:
    for mark in ("bounced", "clicked", "opened"):
        op.drop_index(f"ix_deliveries_people_{mark}", table_name="deliveries")
    for column in ("segment_rules", "exclude_segments", "include_segments"):
        op.drop_column("campaigns", column)
    for table in ("segment_members", "segment_snapshots", "segments"):
        op.drop_table(table)
