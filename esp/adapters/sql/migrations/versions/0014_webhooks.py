"""Webhooks: endpoints with their place in the events, and what was tried."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    json = sa.JSON() if op.get_bind().dialect.name == "sqlite" else postgresql.JSONB()
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("public_id", sa.String(32), nullable=False),
        sa.Column("workspace_id", _ID, nullable=False),
        sa.Column("url", sa.Text(), nullable=False, server_default=""),
        sa.Column("secret", sa.Text(), nullable=False, server_default=""),
        sa.Column("types", json, nullable=False, server_default="[]"),
        sa.Column("cursor", _ID, nullable=False, server_default="0"),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("failing_since", _AT, nullable=True),
        sa.Column("next_at", _AT, nullable=False),
        sa.Column("created_at", _AT, nullable=False),
        sa.Column("paused_at", _AT, nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name="fk_webhook_endpoints_workspace_id"),
        sa.UniqueConstraint("public_id", name="uq_webhook_endpoints_public_id"),
    )
    op.create_index("ix_webhook_endpoints_workspace_id_id", "webhook_endpoints", ["workspace_id", "id"])
    op.create_table(
        "webhook_tries",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("workspace_id", _ID, nullable=False),
        sa.Column("endpoint_id", _ID, nullable=False),
        sa.Column("event_id", _ID, nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False, server_default=""),
        sa.Column("taken", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_tries"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name="fk_webhook_tries_workspace_id"),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoints.id"], name="fk_webhook_tries_endpoint_id", ondelete="CASCADE"),
    )
    op.create_index("ix_webhook_tries_endpoint_id_id", "webhook_tries", ["endpoint_id", "id"])
    op.create_index("ix_webhook_tries_endpoint_id_event_id", "webhook_tries", ["endpoint_id", "event_id"])
    op.create_index("ix_webhook_tries_at", "webhook_tries", ["at"])


def downgrade() -> None:
    op.drop_table("webhook_tries")
    op.drop_table("webhook_endpoints")
