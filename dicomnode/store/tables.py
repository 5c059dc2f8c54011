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
    Column("peer_ae", String, nullable=False),  # the calling AE title
    Column("opened_at", UtcTime, nullable=False),
    Column("closed_at", UtcTime),
    Column("ended", String),
    Column("called_ae", String),
    Column("peer_host", String),
    Column("process", Integer),  # that listened
)
Index(None, association.c.peer_ae, association.c.opened_at)
Index(None, association.c.closed_at)

instance = Table(
    "instance",
    metadata,
    Column("sop_uid", String, primary_key=True),
    Column("digest", String, primary_key=True),  # BLAKE3 of the file, in hex digits
    Column("series_uid", String, nullable=False),
    Column("study_uid", String, nullable=False),
    Column("key", String, nullable=False),  # where it lies in the spool
    Column("size", Integer, nullable=False),
    Column("kind", String, nullable=False),  # image, annotation, other, or undescribed: not known yet
    Column("modality", String, nullable=False),
    Column("facts", JSON, nullable=False),  # what its header says, as domain values
    Column("conflict", Boolean, nullable=False),  # other bytes had its SOP Instance UID before
    Column("same_object", Boolean),  # whether they are the same object in another encoding; NULL: not compared yet
    Column("source_ae", String, nullable=False),
    Column("association_id", ForeignKey(association.c.id), nullable=False),
    Column("received_at", UtcTime, nullable=False),
)
Index(None, instance.c.study_uid)
Index(None, instance.c.association_id, instance.c.study_uid)
Index(None, instance.c.series_uid)
Index(None, instance.c.same_object, sqlite_where=instance.c.conflict)

study = Table(
    "study",
    metadata,
    Column("study_uid", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("last_instance_at", UtcTime, nullable=False),
    Column("generation", Integer, nullable=False),  # one more each time images come after its jobs were made
    Column("evidence", JSON),  # what was seen for and against its being complete, when it was last looked at
    Column("changed_at", UtcTime),  # when it came to its state
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
    Column("priority", Integer, nullable=False, server_default="0"),  # a higher one goes first
    Column("enqueued", Integer, nullable=False, server_default="0"),  # how often: it makes the workflow's id new
    Column("supersedes", String),  # the job of an earlier generation of the study whose results it replaces
)
Index(None, job.c.state, job.c.created_at)
Index(None, job.c.study_uid)

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
    Column("priority", Integer, nullable=False, server_default="0"),  # that of its job
    Column("created_at", UtcTime, nullable=False, server_default="1970-01-01 00:00:00"),
    Column("delivered_at", UtcTime),
    Column("verified_at", UtcTime),
    Column("proof", String),  # what proved that the destination keeps it
    Column("proof_attempts", Integer, nullable=False, server_default="0"),
    Column("enqueued", Integer, nullable=False, server_default="0"),
    Column("renewed_at", UtcTime),  # when it was last to be sent anew: replayed, or its proof failed
)
Index(None, delivery.c.destination, delivery.c.state, delivery.c.next_at)
Index(None, delivery.c.transaction_uid)
Index(None, delivery.c.job_key)

fetch = Table(
    "fetch",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("origin", String, nullable=False),  # who asked: an annotation, a command, or a pull of the settings
    Column("study_uid", String),  # of what waits for it
    Column("source", String),  # the only one to be asked; else all are, in turn
    Column("wanted", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("next_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("reason", String),
    Column("found", Integer),  # how many objects the sources have of it
    Column("kept", Integer),  # and how many of them are here
    Column("enqueued", Integer, nullable=False, server_default="0"),
)
Index(None, fetch.c.state, fetch.c.next_at)
Index(None, fetch.c.study_uid)

destination = Table(  # the circuit breaker of each
    "destination",
    metadata,
    Column("name", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("failures", Integer, nullable=False),  # one after the other, until now
    Column("since", UtcTime, nullable=False),
    Column("next_probe_at", UtcTime),
    Column("last_success_at", UtcTime),
    Column("reason", String),
)

node = Table(
    "node",
    metadata,
    Column("executor_id", String, primary_key=True),
    Column("role", String, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("facts", JSON, nullable=False),  # its process, version, port, AE title and model
)

lease = Table(
    "lease",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("until", UtcTime, nullable=False),
)

commitment = Table(  # what this node was asked to commit to, as the SCP of storage commitment
    "commitment",
    metadata,
    Column("transaction_uid", String, primary_key=True),
    Column("peer_ae", String, nullable=False),
    Column("peer_host", String, nullable=False),
    Column("objects", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("next_at", UtcTime, nullable=False),
    Column("reason", String),
)

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
