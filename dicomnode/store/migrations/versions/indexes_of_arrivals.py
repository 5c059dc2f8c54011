"""Whether an open association brought something of a study is looked up, and only conflicts are indexed as such."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the indexes anew."""
    op.drop_index(op.f("ix_instance_association_id"), "instance")
    op.create_index(op.f("ix_instance_association_id_study_uid"), "instance", ["association_id", "study_uid"])
    op.drop_index(op.f("ix_instance_conflict_same_object"), "instance")
    op.create_index(op.f("ix_instance_same_object"), "instance", ["same_object"], sqlite_where=sa.text("conflict = 1"))
