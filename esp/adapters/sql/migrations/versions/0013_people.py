"""What the list server was still missing: figures of the requests to join a list."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
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


def downgrade() -> None:
    op.drop_table("signup_tallies")
