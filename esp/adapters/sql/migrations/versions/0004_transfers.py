"""Imports that remember, exports, and transfers on a schedule."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, JSON, server_default="{}", nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, ID, server_default="0", nullable=False)


def upgrade() -> None:
    op.add_column("imports", sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("imports", _text("signature"))
    op.create_index("ix_imports_workspace_id_signature", "imports", ["workspace_id", "signature", "id"])
    op.create_table(
        "exports",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("transfer_id", ID, nullable=True),
        _text("what"), _text("format"), _text("state"), _text("error"), _text("path"),
        _json("options"),
        _count("after_id"), _count("until_id"), _count("octets"), _count("rows_written"),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("heartbeat_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_exports_workspace_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_exports_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
        sa.UniqueConstraint("public_id", name=op.f("uq_exports_public_id")),
    )
    op.create_index("ix_exports_workspace_id_id", "exports", ["workspace_id", "id"])
    op.create_index("ix_exports_state_id", "exports", ["state", "id"])
    op.create_table(
        "transfers",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        _text("name"), _text("direction"), _text("kind"), _json("place"), _text("secret"), _json("options"),
        _json("schedule"),
        sa.Column("next_at", INSTANT, nullable=True),
        sa.Column("running_until", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("paused_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_transfers_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sa.UniqueConstraint("public_id", name=op.f("uq_transfers_public_id")),
    )
    op.create_index("ix_transfers_next_at", "transfers", ["next_at", "id"])
    op.create_index("ix_transfers_workspace_id_id", "transfers", ["workspace_id", "id"])
    op.create_table(
        "transfer_runs",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("transfer_id", ID, nullable=False),
        _text("state"), _text("error"), _count("octets"),
        sa.Column("import_id", ID, nullable=True),
        sa.Column("export_id", ID, nullable=True),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_transfer_runs_workspace_id")),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfers.id"], name=op.f("fk_transfer_runs_transfer_id"),
                                ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer_runs")),
    )
    op.create_index("ix_transfer_runs_transfer_id", "transfer_runs", ["transfer_id", "id"])


def downgrade() -> None:
    for table in ("transfer_runs", "transfers", "exports"):
        op.drop_table(table)
    op.drop_index("ix_imports_workspace_id_signature", "imports")
    op.drop_column("imports", "signature")
    op.drop_column("imports", "tries")
