"""Images have frames; jobs name planes.

Images described before have no tags: planes at the same place, which were no stack then, are none now. What was left
out then and may be read now stays set aside until it is sent again: a reason of today would say more than is known.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_LEFT_OUT = frozenset({"NO_GEOMETRY", "UNSUPPORTED_IMAGE", "UNSUPPORTED_MULTIFRAME"})
_SEND_AGAIN = "it was received by an earlier version, which did not read it: to be read, it is to be sent again"

_instance = sa.table(
    "instance", sa.column("sop_uid"), sa.column("sha256"), sa.column("kind"), sa.column("facts", sa.JSON())
)
_job = sa.table("job", sa.column("job_key"), sa.column("inputs", sa.JSON()))


def upgrade() -> None:
    """Rewrite what headers said and what jobs name."""
    connection = op.get_bind()
    for row in connection.execute(sa.select(_instance)).all():
        which = (_instance.c.sop_uid == row.sop_uid) & (_instance.c.sha256 == row.sha256)
        connection.execute(sa.update(_instance).where(which).values(facts=_facts(row.kind, row.facts)))
    for row in connection.execute(sa.select(_job)).all():
        stack = dict(row.inputs["stack"])
        stack["planes"] = [[uid, sha256, None] for uid, sha256 in stack.pop("images")]
        stack["split"] = []
        inputs = {**row.inputs, "stack": stack}
        connection.execute(sa.update(_job).where(_job.c.job_key == row.job_key).values(inputs=inputs))


def _facts(kind: str, facts: dict[str, Any]) -> dict[str, Any]:
    facts = dict(facts)
    if kind == "image":
        place = {"position": facts.pop("position"), "orientation": facts.pop("orientation")}
        facts["frames"] = [{"number": None, "place": place, "spacing": facts.pop("spacing"), "tags": {}}]
        facts["tags"] = {}
    if kind == "other" and facts["exclusion"]["reason"] in _LEFT_OUT:
        facts["exclusion"] = {**facts["exclusion"], "reason": "UNSUPPORTED_IMAGE", "detail": _SEND_AGAIN}
    return facts
