"""The first schema, as it was: what comes later is a migration of its own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "destinations",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), server_default="", nullable=False),
        sa.Column("resolved_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_destinations")),
    )
    op.create_table(
        "inbound_messages",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=True),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("mail_from", sa.Text(), server_default="", nullable=False),
        sa.Column("rcpt_to", sa.Text(), server_default="", nullable=False),
        sa.Column("peer", sa.Text(), server_default="", nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), server_default="new", nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.Column("delivery_id", ID, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_messages")),
    )
    op.create_index("ix_inbound_messages_state_id", "inbound_messages", ["state", "id"], unique=False)
    op.create_table(
        "journal_offsets",
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("offset", ID, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("journal", name=op.f("pk_journal_offsets")),
    )
    op.create_table(
        "server_facts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", JSON, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_server_facts")),
    )
    op.create_table(
        "users",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("password_hash", sa.Text(), server_default="", nullable=False),
        sa.Column("language", sa.Text(), server_default="en", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("disabled_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sa.UniqueConstraint("public_id", name=op.f("uq_users_public_id")),
    )
    op.create_table(
        "workspaces",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("postal_address", sa.Text(), server_default="", nullable=False),
        sa.Column("language", sa.Text(), server_default="en", nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
        sa.UniqueConstraint("public_id", name=op.f("uq_workspaces_public_id")),
    )
    op.create_table(
        "contacts",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("email", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "email_key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), server_default="", nullable=False
        ),
        sa.Column(
            "name_key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), server_default="", nullable=False
        ),
        sa.Column(
            "last_name_key",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            server_default="",
            nullable=False,
        ),
        sa.Column("domain", sa.Text(), server_default="", nullable=False),
        sa.Column("first_name", sa.Text(), server_default="", nullable=False),
        sa.Column("last_name", sa.Text(), server_default="", nullable=False),
        sa.Column("city", sa.Text(), server_default="", nullable=False),
        sa.Column("country", sa.Text(), server_default="", nullable=False),
        sa.Column("language", sa.Text(), server_default="", nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="", nullable=False),
        sa.Column("birth_date", sa.Text(), server_default="", nullable=False),
        sa.Column("fields", JSON, server_default="{}", nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_contacts_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contacts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_contacts_public_id")),
        sa.UniqueConstraint("workspace_id", "email_key", name=op.f("uq_contacts_workspace_id_email_key")),
    )
    op.create_index("ix_contacts_workspace_id_id", "contacts", ["workspace_id", "id"], unique=False)
    op.create_index(
        "ix_contacts_workspace_id_last_name_key", "contacts", ["workspace_id", "last_name_key", "id"], unique=False
    )
    op.create_index("ix_contacts_workspace_id_name_key", "contacts", ["workspace_id", "name_key", "id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("type", sa.Text(), server_default="", nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("campaign_id", ID, nullable=True),
        sa.Column("delivery_id", ID, nullable=True),
        sa.Column("contact_id", ID, nullable=True),
        sa.Column("variant_id", ID, nullable=True),
        sa.Column("link_index", sa.Integer(), nullable=True),
        sa.Column("provider", sa.Text(), server_default="", nullable=False),
        sa.Column("agent", sa.Text(), server_default="", nullable=False),
        sa.Column("ip", sa.Text(), server_default="", nullable=False),
        sa.Column("user_agent", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", JSON, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_events_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(
        "ix_events_campaign_link",
        "events",
        ["campaign_id", "link_index", "delivery_id"],
        unique=False,
        sqlite_where=sa.text("type = 'clicked'"),
        postgresql_where=sa.text("type = 'clicked'"),
    )
    op.create_index("ix_events_campaign_type", "events", ["campaign_id", "type", "id"], unique=False)
    op.create_index("ix_events_contact_id", "events", ["contact_id", "id"], unique=False)
    op.create_index("ix_events_delivery_id", "events", ["delivery_id", "id"], unique=False)
    op.create_table(
        "lists",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("handle", sa.Text(), server_default="", nullable=False),
        sa.Column("subscribed_count", ID, server_default="0", nullable=False),
        sa.Column("unsubscribed_count", ID, server_default="0", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("archived_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_lists_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lists")),
        sa.UniqueConstraint("public_id", name=op.f("uq_lists_public_id")),
        sa.UniqueConstraint("workspace_id", "handle", name=op.f("uq_lists_workspace_id_handle")),
    )
    op.create_table(
        "memberships",
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("role", sa.Text(), server_default="owner", nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_memberships_user_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_memberships_workspace_id")),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", name=op.f("pk_memberships")),
    )
    op.create_table(
        "sending_domains",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("checked_at", INSTANT, nullable=True),
        sa.Column("verified_at", INSTANT, nullable=True),
        sa.Column("check_result", JSON, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_sending_domains_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sending_domains")),
        sa.UniqueConstraint("public_id", name=op.f("uq_sending_domains_public_id")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_sending_domains_workspace_id_name")),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("csrf", sa.Text(), server_default="", nullable=False),
        sa.Column("ip", sa.Text(), server_default="", nullable=False),
        sa.Column("user_agent", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_sessions_workspace_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    op.create_table(
        "tallies",
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("campaign_id", ID, nullable=False),
        sa.Column("dimension", sa.String(length=16), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("n", ID, server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_tallies_workspace_id")),
        sa.PrimaryKeyConstraint(
            "workspace_id", "campaign_id", "dimension", "member", "metric", name=op.f("pk_tallies")
        ),
    )
    op.create_table(
        "campaigns",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="draft", nullable=False),
        sa.Column("state_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("domain_id", ID, nullable=True),
        sa.Column("from_name", sa.Text(), server_default="", nullable=False),
        sa.Column("from_address", sa.Text(), server_default="", nullable=False),
        sa.Column("reply_to", sa.Text(), server_default="", nullable=False),
        sa.Column("include_lists", JSON, server_default="[]", nullable=False),
        sa.Column("exclude_lists", JSON, server_default="[]", nullable=False),
        sa.Column("throttle", sa.Text(), server_default="", nullable=False),
        sa.Column("track_opens", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("track_clicks", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("scheduled_at", INSTANT, nullable=True),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("walk_cursor", ID, server_default="0", nullable=False),
        sa.Column("walk_done", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("walk_until", ID, server_default="0", nullable=False),
        sa.Column("version", ID, server_default="0", nullable=False),
        sa.Column("test_of", ID, nullable=True),
        sa.Column("sample", JSON, server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["sending_domains.id"], name=op.f("fk_campaigns_domain_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_campaigns_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint("public_id", name=op.f("uq_campaigns_public_id")),
    )
    op.create_index("ix_campaigns_open", "campaigns", ["state", "scheduled_at"], unique=False)
    op.create_index("ix_campaigns_workspace_id_id", "campaigns", ["workspace_id", "id"], unique=False)
    op.create_table(
        "consents",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("list_id", ID, nullable=True),
        sa.Column("action", sa.Text(), server_default="", nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("ip", sa.Text(), server_default="", nullable=False),
        sa.Column("user_agent", sa.Text(), server_default="", nullable=False),
        sa.Column("wording", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name=op.f("fk_consents_contact_id")),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_consents_list_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_consents_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    op.create_index(op.f("ix_consents_contact_id"), "consents", ["contact_id"], unique=False)
    op.create_table(
        "dkim_keys",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("domain_id", ID, nullable=False),
        sa.Column("selector", sa.Text(), server_default="", nullable=False),
        sa.Column("algorithm", sa.Text(), server_default="", nullable=False),
        sa.Column("private_pem", sa.Text(), server_default="", nullable=False),
        sa.Column("public_key", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("retired_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["domain_id"], ["sending_domains.id"], name=op.f("fk_dkim_keys_domain_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_dkim_keys_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dkim_keys")),
        sa.UniqueConstraint("domain_id", "selector", name=op.f("uq_dkim_keys_domain_id_selector")),
    )
    op.create_index(op.f("ix_dkim_keys_domain_id"), "dkim_keys", ["domain_id"], unique=False)
    op.create_table(
        "imports",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("list_id", ID, nullable=True),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("file_name", sa.Text(), server_default="", nullable=False),
        sa.Column("path", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("mapping", JSON, server_default="{}", nullable=False),
        sa.Column("options", JSON, server_default="{}", nullable=False),
        sa.Column("bytes_total", ID, server_default="0", nullable=False),
        sa.Column("bytes_read", ID, server_default="0", nullable=False),
        sa.Column("lines_read", ID, server_default="0", nullable=False),
        sa.Column("rows_read", ID, server_default="0", nullable=False),
        sa.Column("created", ID, server_default="0", nullable=False),
        sa.Column("updated", ID, server_default="0", nullable=False),
        sa.Column("unchanged", ID, server_default="0", nullable=False),
        sa.Column("rejected", ID, server_default="0", nullable=False),
        sa.Column("kept_out", ID, server_default="0", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("heartbeat_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_imports_list_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_imports_user_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_imports_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sa.UniqueConstraint("public_id", name=op.f("uq_imports_public_id")),
    )
    op.create_table(
        "subscriptions",
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("list_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name=op.f("fk_subscriptions_contact_id")),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_subscriptions_list_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_subscriptions_workspace_id")),
        sa.PrimaryKeyConstraint("list_id", "contact_id", name=op.f("pk_subscriptions")),
    )
    op.create_index("ix_subscriptions_contact_id", "subscriptions", ["contact_id"], unique=False)
    op.create_table(
        "suppressions",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column(
            "email_key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), server_default="", nullable=False
        ),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("list_id", ID, nullable=True),
        sa.Column("delivery_id", ID, nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_suppressions_list_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_suppressions_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppressions")),
    )
    op.create_index(
        "ix_suppressions_workspace_id_email_key", "suppressions", ["workspace_id", "email_key"], unique=False
    )
    op.create_table(
        "batches",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("campaign_id", ID, nullable=False),
        sa.Column("provider", sa.Text(), server_default="", nullable=False),
        sa.Column("stream", sa.Text(), server_default="broadcast", nullable=False),
        sa.Column("state", sa.Text(), server_default="ready", nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.Column("fence", ID, server_default="0", nullable=False),
        sa.Column("size", ID, server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_batches_campaign_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_batches_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_index(op.f("ix_batches_campaign_id"), "batches", ["campaign_id"], unique=False)
    op.create_index("ix_batches_claim", "batches", ["state", "due_at", "id"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("campaign_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("variant_id", ID, nullable=False),
        sa.Column("batch_id", ID, nullable=True),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("domain", sa.Text(), server_default="", nullable=False),
        sa.Column("provider", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reply_code", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reply", sa.Text(), server_default="", nullable=False),
        sa.Column("maybe_duplicate", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("opened_at", INSTANT, nullable=True),
        sa.Column("machine_opened_at", INSTANT, nullable=True),
        sa.Column("clicked_at", INSTANT, nullable=True),
        sa.Column("machine_clicked_at", INSTANT, nullable=True),
        sa.Column("unsubscribed_at", INSTANT, nullable=True),
        sa.Column("complained_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_deliveries_campaign_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_deliveries_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("campaign_id", "contact_id", name=op.f("uq_deliveries_campaign_id_contact_id")),
    )
    op.create_index("ix_deliveries_batch_id", "deliveries", ["batch_id", "id"], unique=False)
    op.create_index(
        "ix_deliveries_campaign_state", "deliveries", ["campaign_id", "state", "id", "provider"], unique=False
    )
    op.create_index(
        "ix_deliveries_clicked",
        "deliveries",
        ["campaign_id", "id", "provider"],
        unique=False,
        sqlite_where=sa.text("clicked_at IS NOT NULL"),
        postgresql_where=sa.text("clicked_at IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_complained",
        "deliveries",
        ["campaign_id", "id", "provider"],
        unique=False,
        sqlite_where=sa.text("complained_at IS NOT NULL"),
        postgresql_where=sa.text("complained_at IS NOT NULL"),
    )
    op.create_index("ix_deliveries_contact_id", "deliveries", ["contact_id", "id"], unique=False)
    op.create_index(
        "ix_deliveries_machine_clicked",
        "deliveries",
        ["campaign_id", "id", "provider"],
        unique=False,
        sqlite_where=sa.text("machine_clicked_at IS NOT NULL"),
        postgresql_where=sa.text("machine_clicked_at IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_machine_opened",
        "deliveries",
        ["campaign_id", "id", "provider"],
        unique=False,
        sqlite_where=sa.text("machine_opened_at IS NOT NULL"),
        postgresql_where=sa.text("machine_opened_at IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_opened",
        "deliveries",
        ["campaign_id", "id", "provider"],
        unique=False,
        sqlite_where=sa.text("opened_at IS NOT NULL"),
        postgresql_where=sa.text("opened_at IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_unsubscribed",
        "deliveries",
        ["campaign_id", "id", "provider"],
        unique=False,
        sqlite_where=sa.text("unsubscribed_at IS NOT NULL"),
        postgresql_where=sa.text("unsubscribed_at IS NOT NULL"),
    )
    op.create_table(
        "import_rejects",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("import_id", ID, nullable=False),
        sa.Column("line", ID, nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("row", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name=op.f("fk_import_rejects_import_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_import_rejects_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_rejects")),
    )
    op.create_index(op.f("ix_import_rejects_import_id"), "import_rejects", ["import_id"], unique=False)
    op.create_table(
        "variants",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("campaign_id", ID, nullable=False),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("preheader", sa.Text(), server_default="", nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("weight", sa.Integer(), server_default="1", nullable=False),
        sa.Column("compiled", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_variants_campaign_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_variants_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_variants")),
        sa.UniqueConstraint("campaign_id", "label", name=op.f("uq_variants_campaign_id_label")),
    )
    op.create_index(op.f("ix_variants_campaign_id"), "variants", ["campaign_id"], unique=False)
    op.create_table(
        "links",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("campaign_id", ID, nullable=False),
        sa.Column("variant_id", ID, nullable=False),
        sa.Column("link_index", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), server_default="", nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_links_campaign_id")),
        sa.ForeignKeyConstraint(["variant_id"], ["variants.id"], name=op.f("fk_links_variant_id")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_links_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_links")),
        sa.UniqueConstraint("campaign_id", "link_index", name=op.f("uq_links_campaign_id_link_index")),
    )


def downgrade() -> None:
    op.drop_table("links")
    op.drop_table("variants")
    op.drop_table("import_rejects")
    op.drop_table("deliveries")
    op.drop_table("batches")
    op.drop_table("suppressions")
    op.drop_table("subscriptions")
    op.drop_table("imports")
    op.drop_table("dkim_keys")
    op.drop_table("consents")
    op.drop_table("campaigns")
    op.drop_table("tallies")
    op.drop_table("sessions")
    op.drop_table("sending_domains")
    op.drop_table("memberships")
    op.drop_table("lists")
    op.drop_table("events")
    op.drop_table("contacts")
    op.drop_table("workspaces")
    op.drop_table("users")
    op.drop_table("server_facts")
    op.drop_table("journal_offsets")
    op.drop_table("inbound_messages")
    op.drop_table("destinations")
