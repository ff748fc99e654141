"""Barring belongs to a membership: an owner bars people from the own workspace and not from others'."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("memberships", sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True))
    # Until now a bar held on the whole server; it stays in force, wherever the person belongs.
    op.execute("""
        UPDATE memberships SET disabled_at = (SELECT users.disabled_at FROM users WHERE users.id = memberships.user_id)
    """)
    op.execute("UPDATE users SET disabled_at = NULL")


def downgrade() -> None:
    op.execute("""
        UPDATE users SET disabled_at = (
            SELECT max(memberships.disabled_at) FROM memberships WHERE memberships.user_id = users.id
        )
    """)
    op.drop_column("memberships", "disabled_at")
