"""What is received is told by a digest that is no SHA-256 any more; that of older instances stays what it is."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_instance = sa.table("instance", sa.column("sop_uid"), sa.column("digest"), sa.column("facts", sa.JSON()))


def upgrade() -> None:
    """Rename the column, and the same in what headers said."""
    op.execute("ALTER TABLE instance RENAME COLUMN sha256 TO digest")
    connection = op.get_bind()
    for row in connection.execute(sa.select(_instance)).all():
        if "sha256" in row.facts:
            which = (_instance.c.sop_uid == row.sop_uid) & (_instance.c.digest == row.digest)
            connection.execute(sa.update(_instance).where(which).values(facts=_facts(row.facts)))


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    return {"digest" if name == "sha256" else name: value for name, value in facts.items()}
