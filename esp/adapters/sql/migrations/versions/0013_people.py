"""What the list server was still missing: figures of the requests to join a list; no look at two rows for each mail."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# PostgreSQL's check of these costs more than the row it is for (schema._held).
UNHELD = (("deliveries", "workspace_id", "workspaces"), ("deliveries", "campaign_id", "campaigns"),
          ("events", "workspace_id", "workspaces"))


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        for table, column, _ in UNHELD:
            op.drop_constraint(op.f(f"fk_{table}_{column}"), table, type_="foreignkey")
    op.create_table(
        "signup_tallies",
        sa.Column("workspace_id", ID, autoincrement=False, nullable=False),
        sa.Column("list_id", ID, autoincrement=False, nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("n", ID, server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_signup_tallies_workspace_id")),
        sa.PrimaryKeyConstraint("workspace_id", "list_id", "day", "outcome", name=op.f("pk_signup_tallies")),
    )
    op.create_index("ix_suppressions_workspace_id_id", "suppressions", ["workspace_id", "id"])
    op.create_index("ix_suppressions_workspace_id_reason", "suppressions", ["workspace_id", "reason", "id"])
    op.drop_index("ix_contact_topics_topic_id", "contact_topics")
    op.create_index("ix_contact_topics_topic_id", "contact_topics", ["topic_id", "frequency"])


def downgrade() -> None:
    op.drop_index("ix_contact_topics_topic_id", "contact_topics")
    op.create_index("ix_contact_topics_topic_id", "contact_topics", ["topic_id"])
    op.drop_index("ix_suppressions_workspace_id_reason", "suppressions")
    op.drop_index("ix_suppressions_workspace_id_id", "suppressions")
    if op.get_context().dialect.name == "postgresql":
        for table, column, target in UNHELD:
            # Rows that are there are not looked at, so that nobody waits for it.
            op.create_foreign_key(
                op.f(f"fk_{table}_{column}"), table, target, [column], ["id"], postgresql_not_valid=True)
    op.drop_table("signup_tallies")
