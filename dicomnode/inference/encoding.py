"""Encode the images of a job ahead of those who ask for the features, on a thread of its own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import groupby
from types import TracebackType
from typing import Any, NamedTuple, Self

from dicomnode.inference.feature_cache import FeatureCache, key_of
from dicomnode.inference.runtime import Runtime
from dicomnode.inference.sections import Images, Section
from dicomnode.inference.visits import Visit

AHEAD = 2  # batches that are encoded before anybody asks for them


class Batch(NamedTuple):
    """Images that are encoded together: they are chosen from the job alone, so that nothing else changes a byte."""

    sections: tuple[Section, ...]
    spacing: tuple[float, float]


def batches_of(visits: Sequence[Visit], images: Images, size: int) -> tuple[Batch, ...]:
    """Return what is encoded together, at most `size` images: neighbours in the order of their first visits.

    They are of one shape and spacing; images that may not be needed are together only with those beside them.
    """
    first: dict[Section, Visit] = {}
    for visit in visits:
        first.setdefault(visit.section, visit)
    kinds = groupby(first.values(), lambda one: (one.section.through, images.spacing(one.section), _direction(one)))
    return tuple(
        Batch(tuple(visit.section for visit in part), spacing)
        for (_, spacing, _), group in kinds
        for part in _parts(tuple(group), size)
    )


def _direction(visit: Visit) -> int:
    """Return in which direction the image of `visit` may be needed, 0 where it is."""
    return 0 if visit.certain else visit.step


def _parts(visits: Sequence[Visit], size: int) -> Iterator[Sequence[Visit]]:
    return (visits[start : start + size] for start in range(0, len(visits), size))


@cache
def _thread() -> ThreadPoolExecutor:
    """Return the thread that encodes, one a process: on a GPU, what cuDNN has planned is known to one thread alone."""
    return ThreadPoolExecutor(1, "encode")


def _nothing() -> None:
    """Do nothing: once this is done, so is all that the thread was given before."""


class Encoder:
    """Gives the features of each visit of a job, in their order, while it is entered.

    What the thread raises is raised where the features are asked for. Features that are asked for a second time come
    from the cache, or are made again from the same batch.
    """

    def __init__(self, runtime: Runtime, cache: FeatureCache, images: Images, visits: Sequence[Visit]) -> None:
        self._runtime, self._cache, self._images, self._visits = runtime, cache, images, visits
        self._batches = batches_of(visits, images, runtime.batch)
        self._place = {
            section: (number, position)
            for number, batch in enumerate(self._batches)
            for position, section in enumerate(batch.sections)
        }
        self._keys: dict[int, bytes] = {}
        self._coming: dict[int, Future[Sequence[Any]]] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give up what has not begun, and wait for what has."""
        for future in self._coming.values():
            future.cancel()
        _thread().submit(_nothing).result()

    def features(self, visit: int) -> Any:  # noqa: ANN401 - the engine's own
        """Return the features of the image of visit number `visit`."""
        upcoming = self._upcoming(visit)
        for number in [one for one in self._coming if one not in upcoming]:
            self._coming.pop(number).cancel()
        for number in upcoming:
            if number not in self._coming:
                self._coming[number] = _thread().submit(self._encode, number)
        number, position = self._place[self._visits[visit].section]
        return self._coming[number].result()[position]

    def _upcoming(self, visit: int) -> list[int]:
        """Return the batch of `visit` and those of the certain visits after it, as far as they are encoded ahead."""
        numbers = [self._place[self._visits[visit].section][0]]
        for later in self._visits[visit + 1 :]:
            number = self._place[later.section][0]
            if later.certain and number not in numbers:
                numbers.append(number)
            if len(numbers) > AHEAD:
                break
        return numbers

    def _encode(self, number: int) -> Sequence[Any]:
        """Return the features of a batch, on the thread."""
        known = self._cache.get(self._keys[number]) if number in self._keys else None
        if known is not None:
            return known
        batch = self._batches[number]
        images = [self._images.image(section) for section in batch.sections]
        key = self._keys.setdefault(number, key_of(self._runtime.identity, images, batch.spacing))
        known = self._cache.get(key)
        if known is not None:
            return known
        features = self._runtime.encode(images, batch.spacing)
        self._cache.put(key, features, sum(map(self._runtime.size_of, features)))
        return features
