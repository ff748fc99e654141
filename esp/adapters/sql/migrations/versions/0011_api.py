"""What the API keeps: answers to requests with an idempotency key, for a day, and templates of apps' messages."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "api_answers",
        sa.Column("workspace_id", _ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("keep_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "key", name="pk_api_answers"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name="fk_api_answers_workspace_id"),
    )
    op.create_index("ix_api_answers_keep_until", "api_answers", ["keep_until"])
    op.create_table(
        "templates",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("public_id", sa.String(32), nullable=False),
        sa.Column("workspace_id", _ID, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False, server_default="")
          for name in ("name", "subject", "text", "html")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_templates"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name="fk_templates_workspace_id"),
        sa.UniqueConstraint("public_id", name="uq_templates_public_id"),
        sa.UniqueConstraint("workspace_id", "name", name="uq_templates_workspace_id_name"),
    )
    op.create_index("ix_templates_workspace_id_id", "templates", ["workspace_id", "id"])


def downgrade() -> None:
    op.drop_table("templates")
    op.drop_table("api_answers")
