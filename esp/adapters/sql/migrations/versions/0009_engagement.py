"""What is known of a contact as a listener: counts folded from events, what a model says of them, levels, history."""

from typing import Literal

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def _workspace(*, autoincrement: bool | Literal["auto"] = "auto") -> sa.Column[int]:
    return sa.Column("workspace_id", ID, nullable=False, autoincrement=autoincrement)


def _of_workspace(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f(f"fk_{table}_workspace_id"))


def _of_contact(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["contact_id"], ["contacts.id"], name=op.f(f"fk_{table}_contact_id"), ondelete="CASCADE")


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, ID, server_default="0", nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)


def _at(name: str, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, INSTANT, nullable=nullable)


def _text(name: str, default: str = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _number(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "contact_engagement",
        sa.Column("contact_id", ID, autoincrement=False, nullable=False), _workspace(),
        *map(_count, ("opportunities", "responses", "recency", "opens", "clicks", "complaints")),
        *map(_at, ("first_sent_at", "last_sent_at", "last_opened_at", "last_clicked_at")),
        sa.Column("score", sa.Double(), server_default="0", nullable=False), _at("score_at"),
        sa.Column("score_rank", sa.Double(), nullable=True), sa.Column("times", sa.LargeBinary(), nullable=True),
        _flag("waiting"), _flag("stale"), _text("level", "new"), _at("level_at"), _count("level_responses"),
        _of_contact("contact_engagement"), _of_workspace("contact_engagement"),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_contact_engagement")),
    )
    for name in ("score_rank", "level"):
        op.create_index(f"ix_contact_engagement_{name}", "contact_engagement", ["workspace_id", name, "contact_id"])
    op.create_index("ix_contact_engagement_stale", "contact_engagement", ["contact_id"],
                    sqlite_where=sa.text("stale"), postgresql_where=sa.text("stale"))
    op.create_table(
        "engagement_odds", _workspace(),
        *(sa.Column(name, ID, autoincrement=False, nullable=False)
          for name in ("opportunities", "responses", "recency")),
        *map(_number, ("alive", "expected", "next")), _text("level"), _of_workspace("engagement_odds"),
        sa.PrimaryKeyConstraint("workspace_id", "opportunities", "responses", "recency",
                                name=op.f("pk_engagement_odds")),
    )
    op.create_table(
        "engagement_fits", sa.Column("id", ID, autoincrement=True, nullable=False), _workspace(), _at("at", False),
        *map(_number, ("alpha", "beta", "gamma", "delta")), sa.Column("covariance", JSON, nullable=True),
        _number("log_likelihood"), _count("people"), _flag("converged"),
        sa.Column("crowds", JSON, server_default="{}", nullable=False), _of_workspace("engagement_fits"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_engagement_fits")),
    )
    op.create_index("ix_engagement_fits_workspace_id_id", "engagement_fits", ["workspace_id", "id"])
    op.create_table(
        "level_moves", sa.Column("id", ID, autoincrement=True, nullable=False), _workspace(),
        sa.Column("contact_id", ID, nullable=False), _at("at", False), _text("from_level"), _text("to_level"),
        _of_contact("level_moves"), _of_workspace("level_moves"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_level_moves")),
    )
    op.create_index("ix_level_moves_contact_id", "level_moves", ["contact_id", "id"])
    op.create_index("ix_level_moves_workspace_id_at", "level_moves", ["workspace_id", "at"])
    op.create_table(
        "engagement_days", _workspace(), sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False), _count("n"), _of_workspace("engagement_days"),
        sa.PrimaryKeyConstraint("workspace_id", "day", "level", name=op.f("pk_engagement_days")),
    )
    op.create_table(
        "engagement_reports", _workspace(), _at("made_at", False),
        sa.Column("data", JSON, server_default="{}", nullable=False), _of_workspace("engagement_reports"),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_engagement_reports")),
    )
    op.create_table(
        "event_folds", sa.Column("name", sa.String(length=32), nullable=False),
        *map(_count, ("cursor", "ahead", "mark")), _at("moved_at"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_folds")),
    )


def downgrade() -> None:
    for table in ("event_folds", "engagement_reports", "engagement_days", "level_moves", "engagement_fits",
                  "engagement_odds", "contact_engagement"):
        op.drop_table(table)
