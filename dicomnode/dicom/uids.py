"""UIDs made from content: the same inputs give the same UID, today and tomorrow (PS3.5 B.2)."""

import json
from uuid import UUID, uuid5

from dicomnode.domain import Uid

_NAMESPACE = UUID("8f1d7ac4-7a0e-5d0f-9f43-5a3bb0b3a3f1")  # made once, for dicomnode


def uid_of(*parts: object) -> Uid:
    """Return the UID under the UUID root that belongs to `parts`, which are numbers, texts and sequences of them."""
    return Uid(f"2.25.{uuid5(_NAMESPACE, json.dumps(parts)).int}")


def derived_frame_of_reference(series_uid: Uid) -> Uid:
    """Return the frame of reference of a series that states positions, but no frame of reference."""
    return uid_of("frame of reference", series_uid)
