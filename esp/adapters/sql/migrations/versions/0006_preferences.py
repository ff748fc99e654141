"""What recipients choose: topics, frequency, pauses; and the archive of what was sent."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
