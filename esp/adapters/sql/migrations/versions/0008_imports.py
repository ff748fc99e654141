"""What imports and transfers keep; and PostgreSQL without the foreign keys that cost an import more than its indexes.

Dropped are those to the workspace and to the list, of contacts, subscriptions and consents: every road that writes such
a row has found both in the same transaction, and an import writes ten thousands for the one list that it has locked.
Neither workspaces nor lists are ever deleted. The keys to the contact stay: people are erased, also while others
write. On SQLite a check is a look at a page, and taking it away would rewrite the tables.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_DROPPED = (
    ("contacts", "workspace_id", "workspaces"),
    ("subscriptions", "workspace_id", "workspaces"), ("subscriptions", "list_id", "lists"),
    ("consents", "workspace_id", "workspaces"), ("consents", "list_id", "lists"),
)


_JOBS = ("bulk_actions", "hygiene_reports")


def upgrade() -> None:
    for table in _JOBS:
        op.add_column(table, sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    if op.get_bind().dialect.name == "postgresql":
        for table, column, _ in _DROPPED:
            op.drop_constraint(f"fk_{table}_{column}", table, type_="foreignkey")


def downgrade() -> None:
    for table in _JOBS:
        op.drop_column(table, "tries")
    if op.get_bind().dialect.name == "postgresql":
        for table, column, target in _DROPPED:
            op.create_foreign_key(f"fk_{table}_{column}", table, target, [column], ["id"])
