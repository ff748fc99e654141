"""Segments: saved rules, their snapshots, and campaigns that are sent to them."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
