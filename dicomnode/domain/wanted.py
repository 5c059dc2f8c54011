"""What is asked of other systems: studies, series, instances, or what a query matches."""

from collections.abc import Mapping
from dataclasses import dataclass

from dicomnode.domain.uid import Uid


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is asked for: whole studies, whole series, single instances (any of them), or the studies a query matches.

    `modalities`, if there are any, are those of the series that are taken of studies. `around` asks for all of the
    series that an instance is in. `limit` is the number of studies that a query may bring.
    """

    studies: tuple[Uid, ...] = ()
    series: tuple[Uid, ...] = ()
    instances: tuple[Uid, ...] = ()
    query: Mapping[str, str] | None = None
    limit: int | None = None
    modalities: tuple[str, ...] = ()
    around: bool = False
