"""How people come in: opt-in per list, wordings, confirmations, pages of their own looks."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
