"""Objects have alternatives: each SEG until now is BINARY."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_artifact = sa.table("artifact", sa.column("kind"), sa.column("alternative"))


def upgrade() -> None:
    """Say of each object which type of SEG it is or refers to."""
    op.add_column("artifact", sa.Column("alternative", sa.String(), nullable=True))
    op.create_index(op.f("ix_artifact_job_key"), "artifact", ["job_key"])
    op.execute(sa.update(_artifact).where(_artifact.c.kind == "SEG").values(alternative="BINARY"))
