"""The first schema."""

from alembic import op

from esp.adapters.sql.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    # While nothing has been released yet, the first migration is the schema itself.
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    metadata.drop_all(op.get_bind())
