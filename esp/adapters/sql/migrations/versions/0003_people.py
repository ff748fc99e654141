"""Contacts in full: typed fields, tags, notes, bulk actions, what hygiene found, and who changed a suppression."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "bulk_actions",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("action", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("arguments", JSON, server_default="{}", nullable=False),
        sa.Column("selection", JSON, server_default="{}", nullable=False),
        sa.Column("cursor", ID, server_default="0", nullable=False),
        sa.Column("until", ID, server_default="0", nullable=False),
        sa.Column("seen", ID, server_default="0", nullable=False),
        sa.Column("changed", ID, server_default="0", nullable=False),
        sa.Column("kept", ID, server_default="0", nullable=False),
        sa.Column("undo_of", ID, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("heartbeat_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_bulk_actions_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_actions")),
        sa.UniqueConstraint("public_id", name=op.f("uq_bulk_actions_public_id")),
    )
    op.create_index("ix_bulk_actions_workspace_id_id", "bulk_actions", ["workspace_id", "id"])
    op.create_table(
        "contact_fields",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("key", sa.Text(), server_default="", nullable=False),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.Column("type", sa.Text(), server_default="text", nullable=False),
        sa.Column("choices", JSON, server_default="[]", nullable=False),
        sa.Column("open_to_recipient", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("position", ID, server_default="0", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("archived_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_contact_fields_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_fields")),
        sa.UniqueConstraint("public_id", name=op.f("uq_contact_fields_public_id")),
        sa.UniqueConstraint("workspace_id", "key", name=op.f("uq_contact_fields_workspace_id_key")),
    )
    op.create_table(
        "hygiene_reports",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("phase", sa.Text(), server_default="", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("options", JSON, server_default="{}", nullable=False),
        sa.Column("counts", JSON, server_default="{}", nullable=False),
        sa.Column("cursor", ID, server_default="0", nullable=False),
        sa.Column("until", ID, server_default="0", nullable=False),
        sa.Column("seen", ID, server_default="0", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("heartbeat_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_hygiene_reports_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hygiene_reports")),
    )
    op.create_index("ix_hygiene_reports_workspace_id_id", "hygiene_reports", ["workspace_id", "id"])
    op.create_table(
        "suppression_changes",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("action", sa.Text(), server_default="", nullable=False),
        sa.Column("email_key", KEY, server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("list_id", ID, nullable=True),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_suppression_changes_workspace_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression_changes")),
    )
    op.create_index("ix_suppression_changes_workspace_id_id", "suppression_changes", ["workspace_id", "id"])
    op.create_table(
        "tags",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("name_key", KEY, server_default="", nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_tags_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tags")),
        sa.UniqueConstraint("workspace_id", "name_key", name=op.f("uq_tags_workspace_id_name_key")),
    )
    op.create_table(
        "bulk_changes",
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("bulk_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("before", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["bulk_id"], ["bulk_actions.id"], name=op.f("fk_bulk_changes_bulk_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_bulk_changes_workspace_id")),
        sa.PrimaryKeyConstraint("bulk_id", "contact_id", name=op.f("pk_bulk_changes")),
    )
    op.create_index("ix_bulk_changes_contact_id", "bulk_changes", ["contact_id", "bulk_id"])
    op.create_table(
        "contact_changes",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", JSON, server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.id"], name=op.f("fk_contact_changes_contact_id"), ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_contact_changes_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_changes")),
    )
    op.create_index("ix_contact_changes_contact_id", "contact_changes", ["contact_id", "id"])
    op.create_table(
        "contact_notes",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("author", sa.Text(), server_default="", nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("edited_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.id"], name=op.f("fk_contact_notes_contact_id"), ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_contact_notes_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_notes")),
    )
    op.create_index("ix_contact_notes_contact_id", "contact_notes", ["contact_id", "id"])
    op.create_table(
        "contact_redirects",
        sa.Column("old_id", ID, autoincrement=False, nullable=False),
        sa.Column("old_public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.id"], name=op.f("fk_contact_redirects_contact_id"), ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_contact_redirects_workspace_id")),
        sa.PrimaryKeyConstraint("old_id", name=op.f("pk_contact_redirects")),
        sa.UniqueConstraint("old_public_id", name=op.f("uq_contact_redirects_old_public_id")),
    )
    op.create_index(op.f("ix_contact_redirects_contact_id"), "contact_redirects", ["contact_id"])
    op.create_table(
        "contact_tags",
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("tag_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.id"], name=op.f("fk_contact_tags_contact_id"), ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name=op.f("fk_contact_tags_tag_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_contact_tags_workspace_id")),
        sa.PrimaryKeyConstraint("tag_id", "contact_id", name=op.f("pk_contact_tags")),
    )
    op.create_index("ix_contact_tags_contact_id", "contact_tags", ["contact_id"])
    op.create_table(
        "hygiene_findings",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("report_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("group_key", KEY, server_default="", nullable=False),
        sa.Column("suggestion", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["report_id"], ["hygiene_reports.id"], name=op.f("fk_hygiene_findings_report_id"), ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_hygiene_findings_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hygiene_findings")),
    )
    op.create_index("ix_hygiene_findings_contact_id", "hygiene_findings", ["contact_id"])
    op.create_index("ix_hygiene_findings_report_id_kind", "hygiene_findings", ["report_id", "kind", "id"])
    op.add_column("destinations", sa.Column("checked_at", INSTANT, nullable=True))
    op.add_column("destinations", sa.Column("dead_since", INSTANT, nullable=True))
    op.create_index(
        "ix_subscriptions_left", "subscriptions", ["list_id", "state", "contact_id"],
        sqlite_where=sa.text("state <> 'subscribed'"), postgresql_where=sa.text("state <> 'subscribed'"),
    )
    op.create_index(
        "ix_subscriptions_gone", "subscriptions", ["workspace_id", "state", "contact_id"],
        sqlite_where=sa.text("state <> 'subscribed'"), postgresql_where=sa.text("state <> 'subscribed'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_subscriptions_gone", table_name="subscriptions",
        sqlite_where=sa.text("state <> 'subscribed'"), postgresql_where=sa.text("state <> 'subscribed'"),
    )
    op.drop_index(
        "ix_subscriptions_left", table_name="subscriptions",
        sqlite_where=sa.text("state <> 'subscribed'"), postgresql_where=sa.text("state <> 'subscribed'"),
    )
    op.drop_column("destinations", "dead_since")
    op.drop_column("destinations", "checked_at")
    op.drop_index("ix_hygiene_findings_report_id_kind", table_name="hygiene_findings")
    op.drop_index("ix_hygiene_findings_contact_id", table_name="hygiene_findings")
    op.drop_table("hygiene_findings")
    op.drop_index("ix_contact_tags_contact_id", table_name="contact_tags")
    op.drop_table("contact_tags")
    op.drop_index(op.f("ix_contact_redirects_contact_id"), table_name="contact_redirects")
    op.drop_table("contact_redirects")
    op.drop_index("ix_contact_notes_contact_id", table_name="contact_notes")
    op.drop_table("contact_notes")
    op.drop_index("ix_contact_changes_contact_id", table_name="contact_changes")
    op.drop_table("contact_changes")
    op.drop_index("ix_bulk_changes_contact_id", table_name="bulk_changes")
    op.drop_table("bulk_changes")
    op.drop_table("tags")
    op.drop_index("ix_suppression_changes_workspace_id_id", table_name="suppression_changes")
    op.drop_table("suppression_changes")
    op.drop_index("ix_hygiene_reports_workspace_id_id", table_name="hygiene_reports")
    op.drop_table("hygiene_reports")
    op.drop_table("contact_fields")
    op.drop_index("ix_bulk_actions_workspace_id_id", table_name="bulk_actions")
    op.drop_table("bulk_actions")
