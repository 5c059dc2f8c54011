"""What is known of whether a study is complete: who sends it, and what its annotations say of its images."""

from dataclasses import dataclass
from datetime import datetime

from dicomnode.domain.states import AssociationEnd
from dicomnode.domain.uid import Uid


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """An association of somebody who sends a study; it is open while `closed_at` is None.

    `last_at` is when the last new instance of the study came in it, None where it brought none.
    """

    caller: str
    opened_at: datetime
    closed_at: datetime | None = None
    ended: AssociationEnd | None = None
    last_at: datetime | None = None

    @property
    def brought(self) -> bool:
        """Return whether something of the study came in it."""
        return self.last_at is not None

    @property
    def released(self) -> bool:
        """Return whether it ended as it should."""
        return self.ended is AssociationEnd.RELEASED


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesCount:
    """A series that an annotation means, and how many instances of it are here."""

    series_uid: Uid
    study_uid: Uid
    here: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What is here of a study, and what its annotations say is not.

    `named` counts the images that its annotations name, `absent` those that are not here, `objects` the annotations
    that they need and are not here. Of the stacks that are meant, `gaps` counts the slices that are missing between
    planes, and `beyond` the points drawn with no plane within half a slice distance. `listed` tells that an annotation
    lists each image of them, also such as nothing is drawn on: it was made when the series was whole.
    """

    images: int
    annotations: int
    pairs: int
    named: int = 0
    absent: int = 0
    objects: int = 0
    gaps: int = 0
    beyond: int = 0
    listed: bool = False
    series: tuple[SeriesCount, ...] = ()
