"""Studies have evidence, jobs and deliveries an order, deliveries a proof; what is fetched, and who runs, has rows."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_EPOCH = "1970-01-01 00:00:00"


def upgrade() -> None:
    """Add the columns and tables."""
    op.add_column("association", sa.Column("called_ae", sa.String(), nullable=True))
    op.add_column("association", sa.Column("peer_host", sa.String(), nullable=True))
    op.add_column("association", sa.Column("process", sa.Integer(), nullable=True))
    op.create_index("ix_association_closed_at", "association", ["closed_at"])
    op.create_index(op.f("ix_association_peer_ae_opened_at"), "association", ["peer_ae", "opened_at"])
    op.create_index(op.f("ix_instance_series_uid"), "instance", ["series_uid"])
    op.add_column("instance", sa.Column("same_object", sa.Boolean(), nullable=True))
    op.create_index(op.f("ix_instance_conflict_same_object"), "instance", ["conflict", "same_object"])
    op.add_column("study", sa.Column("evidence", sa.JSON(), nullable=True))
    op.add_column("study", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("job", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column("enqueued", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column("supersedes", sa.String(), nullable=True))
    op.create_index(op.f("ix_job_study_uid"), "job", ["study_uid"])
    _add_to_deliveries()
    _make_fetch()
    _make_ends()


def _add_to_deliveries() -> None:
    op.add_column("delivery", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.add_column(
        "delivery", sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_EPOCH)
    )
    op.execute("UPDATE delivery SET created_at = next_at")
    op.add_column("delivery", sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delivery", sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delivery", sa.Column("proof", sa.String(), nullable=True))
    op.add_column("delivery", sa.Column("proof_attempts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("delivery", sa.Column("enqueued", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("delivery", sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_delivery_transaction_uid"), "delivery", ["transaction_uid"])
    op.create_index(op.f("ix_delivery_job_key"), "delivery", ["job_key"])


def _make_fetch() -> None:
    op.create_table(
        "fetch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("wanted", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("found", sa.Integer(), nullable=True),
        sa.Column("kept", sa.Integer(), nullable=True),
        sa.Column("enqueued", sa.Integer(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fetch")),
    )
    op.create_index(op.f("ix_fetch_state_next_at"), "fetch", ["state", "next_at"])
    op.create_index(op.f("ix_fetch_study_uid"), "fetch", ["study_uid"])


def _make_ends() -> None:
    op.create_table(
        "destination",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_success_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_destination")),
    )
    op.create_table(
        "node",
        sa.Column("executor_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("executor_id", name=op.f("pk_node")),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "commitment",
        sa.Column("transaction_uid", sa.String(), nullable=False),
        sa.Column("peer_ae", sa.String(), nullable=False),
        sa.Column("peer_host", sa.String(), nullable=False),
        sa.Column("objects", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("transaction_uid", name=op.f("pk_commitment")),
    )
