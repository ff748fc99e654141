"""Answers of the API to requests with an idempotency key, kept for a day."""

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


def downgrade() -> None:
    op.drop_table("api_answers")
