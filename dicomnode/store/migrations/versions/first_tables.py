"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    _make_arrivals()
    _make_work()
    _make_ends()


def _make_arrivals() -> None:
    """Make the tables of what arrived."""
    op.create_table(
        "association",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("peer_ae", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_association")),
    )
    op.create_table(
        "instance",
        sa.Column("sop_uid", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("series_uid", sa.String(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        sa.Column("source_ae", sa.String(), nullable=False),
        sa.Column("association_id", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["association_id"], ["association.id"], name=op.f("fk_instance_association_id_association")
        ),
        sa.PrimaryKeyConstraint("sop_uid", "sha256", name=op.f("pk_instance")),
    )
    op.create_index(op.f("ix_instance_association_id"), "instance", ["association_id"])
    op.create_index(op.f("ix_instance_study_uid"), "instance", ["study_uid"])
    op.create_table(
        "study",
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("last_instance_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("study_uid", name=op.f("pk_study")),
    )
    op.create_index(op.f("ix_study_state"), "study", ["state"])


def _make_work() -> None:
    """Make the tables of what is done with it."""
    op.create_table(
        "match",
        sa.Column("annotation_uid", sa.String(), nullable=False),
        sa.Column("stack_key", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("annotation_uid", "stack_key", name=op.f("pk_match")),
    )
    op.create_table(
        "job",
        sa.Column("job_key", sa.String(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["study_uid"], ["study.study_uid"], name=op.f("fk_job_study_uid_study")),
        sa.PrimaryKeyConstraint("job_key", name=op.f("pk_job")),
    )
    op.create_index(op.f("ix_job_state_created_at"), "job", ["state", "created_at"])
    op.create_table(
        "artifact",
        sa.Column("sop_uid", sa.String(), nullable=False),
        sa.Column("job_key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_key"], ["job.job_key"], name=op.f("fk_artifact_job_key_job")),
        sa.PrimaryKeyConstraint("sop_uid", name=op.f("pk_artifact")),
    )


def _make_ends() -> None:
    """Make the tables of what left, and the audit."""
    op.create_table(
        "delivery",
        sa.Column("sop_uid", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("job_key", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("transaction_uid", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["job_key"], ["job.job_key"], name=op.f("fk_delivery_job_key_job")),
        sa.ForeignKeyConstraint(["sop_uid"], ["artifact.sop_uid"], name=op.f("fk_delivery_sop_uid_artifact")),
        sa.PrimaryKeyConstraint("sop_uid", "destination", name=op.f("pk_delivery")),
    )
    op.create_index(op.f("ix_delivery_destination_state_next_at"), "delivery", ["destination", "state", "next_at"])
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_what_at"), "event", ["what", "at"])
