"""The tables of the node's database; the migrations make the same ones."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcTime(TypeDecorator[datetime]):
    """A point in time, aware and in UTC on the way in and out (SQLite keeps no zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return `value` in UTC."""
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return `value` with its zone."""
        return value and value.replace(tzinfo=UTC)


association = Table(
    "association",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("peer_ae", String, nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("closed_at", UtcTime),
    Column("ended", String),
)

instance = Table(
    "instance",
    metadata,
    Column("sop_uid", String, primary_key=True),
    Column("sha256", String, primary_key=True),
    Column("series_uid", String, nullable=False),
    Column("study_uid", String, nullable=False),
    Column("key", String, nullable=False),  # where it lies in the spool
    Column("size", Integer, nullable=False),
    Column("kind", String, nullable=False),  # image, annotation or other
    Column("modality", String, nullable=False),
    Column("facts", JSON, nullable=False),  # what its header says, as domain values
    Column("conflict", Boolean, nullable=False),  # other bytes had its SOP Instance UID before
    Column("source_ae", String, nullable=False),
    Column("association_id", ForeignKey(association.c.id), nullable=False),
    Column("received_at", UtcTime, nullable=False),
)
Index(None, instance.c.study_uid)
Index(None, instance.c.association_id)

study = Table(
    "study",
    metadata,
    Column("study_uid", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("last_instance_at", UtcTime, nullable=False),
    Column("generation", Integer, nullable=False),  # one more each time images come after its jobs were made
)
Index(None, study.c.state)

match = Table(
    "match",
    metadata,
    Column("annotation_uid", String, primary_key=True),
    Column("stack_key", String, primary_key=True),
    Column("rule", String, nullable=False),
    Column("evidence", String, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("job_key", String, primary_key=True),
    Column("study_uid", ForeignKey(study.c.study_uid), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("attempts", Integer, nullable=False),
    Column("inputs", JSON, nullable=False),  # which instances, as ids, and the options
    Column("created_at", UtcTime, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
)
Index(None, job.c.state, job.c.created_at)

artifact = Table(
    "artifact",
    metadata,
    Column("sop_uid", String, primary_key=True),
    Column("job_key", ForeignKey(job.c.job_key), nullable=False),  # the last that made it
    Column("kind", String, nullable=False),
    Column("sop_class_uid", String, nullable=False),
    Column("key", String, nullable=False),  # where it lies in the spool; written once
    Column("sha256", String, nullable=False),
    Column("alternative", String),  # the type of SEG that it is or refers to: a destination gets one of them
)
Index(None, artifact.c.job_key)

delivery = Table(
    "delivery",
    metadata,
    Column("sop_uid", ForeignKey(artifact.c.sop_uid), primary_key=True),
    Column("destination", String, primary_key=True),
    Column("job_key", ForeignKey(job.c.job_key), nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcTime, nullable=False),  # when it may be tried next
    Column("transaction_uid", String),  # of the storage commitment that proves it
    Column("reason", String),
)
Index(None, delivery.c.destination, delivery.c.state, delivery.c.next_at)

event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("who", String, nullable=False),
    Column("what", String, nullable=False),
    Column("details", JSON, nullable=False),
)
Index(None, event.c.what, event.c.at)
