"""Annotations name planes, and a job may have several."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_instance = sa.table(
    "instance", sa.column("sop_uid"), sa.column("sha256"), sa.column("kind"), sa.column("facts", sa.JSON())
)
_job = sa.table("job", sa.column("job_key"), sa.column("inputs", sa.JSON()))


def upgrade() -> None:
    """Rewrite what headers said and what jobs name."""
    connection = op.get_bind()
    for row in connection.execute(sa.select(_instance).where(_instance.c.kind == "annotation")).all():
        which = (_instance.c.sop_uid == row.sop_uid) & (_instance.c.sha256 == row.sha256)
        connection.execute(sa.update(_instance).where(which).values(facts=_facts(row.facts)))
    for row in connection.execute(sa.select(_job)).all():
        inputs = dict(row.inputs)
        inputs["annotations"] = [inputs.pop("annotation")]
        connection.execute(sa.update(_job).where(_job.c.job_key == row.job_key).values(inputs=inputs))


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    facts = dict(facts)
    counts = facts.pop("referenced_images")
    facts["references"] = [[[uid, None], count] for uid, count in counts.items()]
    return facts
