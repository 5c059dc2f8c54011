"""Keep cases as LiteMedSAM's network sees them: read once from their files, and then quickly from the run's folder."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import Reason, Refused
from dicomnode.inference.transforms import SIDE, Framing, to_network
from dicomnode.inference.windows import to_byte_range
from dicomnode.training.truths.case import Case
from dicomnode.training.truths.cleaning import cleaned

_LEVELS = 65535  # that 0..1 is kept in
_ARRAYS = ("squares", "masks", "planes")


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedCase:
    """What is known of a case without its pixels.

    `height` and `width` are the pixels that it fills at the top left of the square; `labels` are its structures and on
    how many planes each is; `sha256` is of all that is kept of it.
    """

    name: str
    group: str
    modality: str
    window: str
    height: int
    width: int
    planes: int
    labels: Mapping[str, int]
    sha256: str

    @property
    def objects(self) -> int:
        """Return how many masks there are."""
        return sum(self.labels.values())


class Plane(NamedTuple):
    """A plane as the network sees it, (3, 256, 256) float32 0..1, and the masks on it, (mask, 256, 256) bool."""

    square: NDArray[np.float32]
    masks: NDArray[np.bool_]


def prepare(case: Case, folder: Path) -> PreparedCase:
    """Write what a network sees of `case` to `folder`, the planes with something on them; return what there is.

    Images go through the windows and the transforms of the product, masks by the nearest pixel. A case without a mask
    that is large enough is refused as EMPTY_RESULT.
    """
    masks = {label: cleaned(planes) for label, planes in case.masks.items()}
    used = sorted({index for planes in masks.values() for index in planes})
    framing, squares = _squares(case, used)
    carried = [
        (label, used.index(index), small)
        for label, planes in masks.items()
        for index, mask in planes.items()
        if (small := mask_to_network(mask, framing)).any()
    ]
    if not carried:
        detail = "it has no structure of 100 voxels, and 10 pixels on a plane, which smaller ones are taken for specks"
        raise Refused(Reason.EMPTY_RESULT, case.name, detail)
    carried.sort(key=lambda one: one[1])
    arrays: dict[str, NDArray[Any]] = {
        "squares": squares,
        "masks": np.packbits(np.stack([small for *_, small in carried]), axis=-1),
        "planes": np.array([plane for _, plane, _ in carried], np.int32),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return PreparedCase(
        name=case.name,
        group=case.group,
        modality=case.stack.modality,
        window=case.window.text,
        height=framing.height,
        width=framing.width,
        planes=len(np.unique(arrays["planes"])),
        labels=dict(sorted(Counter(label for label, *_ in carried).items())),
        sha256=hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest(),
    )


def mask_to_network(mask: NDArray[np.bool_], framing: Framing) -> NDArray[np.bool_]:
    """Return `mask`, (row, column) bool, as it lies in the square, (256, 256) bool: each pixel is the nearest one."""
    rows = ((np.arange(framing.height) + 0.5) * framing.rows / framing.height).astype(np.intp)
    columns = ((np.arange(framing.width) + 0.5) * framing.columns / framing.width).astype(np.intp)
    square = np.zeros((SIDE, SIDE), np.bool_)
    square[: framing.height, : framing.width] = mask[np.ix_(rows, columns)]
    return square


def _squares(case: Case, used: Sequence[int]) -> tuple[Framing, NDArray[np.uint16]]:
    """Return how planes lie in the square, and the planes `used`, (plane, colour, 256, 256) uint16; grey has one."""
    rows, columns = case.stack.shape[1:]
    framing, squares = Framing(rows, columns, SIDE, SIDE), []
    for index in used:
        plane = case.stack.planes[index]
        image = to_byte_range(plane.shown().astype(np.float32, copy=False), case.window)
        square, framing = to_network(image, reference=False)
        colours = square if plane.is_colour else square[:1]
        squares.append(np.rint(colours * _LEVELS).astype(np.uint16))
    return framing, np.stack(squares) if squares else np.zeros((0, 1, SIDE, SIDE), np.uint16)


def check_prepared(folder: Path, case: PreparedCase) -> None:
    """Refuse `folder` (UNREADABLE) if there is not in it what `prepare` wrote of `case`, bit for bit."""
    digest = hashlib.sha256()
    try:
        for array in _arrays_in(folder):
            digest.update(array.reshape(-1).data)
    except (OSError, ValueError, EOFError) as error:
        raise Refused(Reason.UNREADABLE, str(folder), f"what was read of {case.name} is gone: {error}") from error
    if digest.hexdigest() != case.sha256:
        detail = f"it is damaged: it is not what was read of {case.name}; begin again in another folder"
        raise Refused(Reason.UNREADABLE, str(folder), detail)


def _arrays_in(folder: Path) -> tuple[NDArray[Any], ...]:
    """Return squares, masks and planes in `folder`, each read when it is looked at."""
    return tuple(np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS)


class PreparedPlanes:
    """The planes of a prepared case, read from its folder when they are asked for."""

    def __init__(self, folder: Path, case: PreparedCase) -> None:
        self.case = case
        self._folder = folder
        self._squares, self._masks, planes = _arrays_in(folder)
        self._numbers = np.unique(planes)
        self._first = np.searchsorted(planes, self._numbers)
        self._end = np.searchsorted(planes, self._numbers, side="right")

    def __reduce__(self) -> tuple[type["PreparedPlanes"], tuple[Path, PreparedCase]]:
        """Travel to another process without the pixels, which it reads itself."""
        return PreparedPlanes, (self._folder, self.case)

    def __len__(self) -> int:
        """Return how many planes there are with something on them."""
        return len(self._numbers)

    def plane(self, number: int) -> Plane:
        """Return plane `number`, from 0."""
        square = self._squares[self._numbers[number]].astype(np.float32) / np.float32(_LEVELS)
        masks = np.unpackbits(self._masks[self._first[number] : self._end[number]], axis=-1).view(np.bool_)
        return Plane(np.broadcast_to(square, (3, SIDE, SIDE)), masks)


class Cases(NamedTuple):
    """The cases to train on and those to validate on, and what they were gathered with."""

    settings: Mapping[str, str]
    train: Sequence[PreparedCase]
    validation: Sequence[PreparedCase]


def write_cases(cases: Cases, file: Path) -> None:
    """Write `cases` to the JSON file at `file`, whole or not at all."""
    document = {
        "settings": dict(cases.settings),
        "train": [asdict(case) for case in cases.train],
        "validation": [asdict(case) for case in cases.validation],
    }
    part = file.with_name(f".{file.name}.part")
    part.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(file)


def read_cases(file: Path) -> Cases | None:
    """Return what `write_cases` wrote to `file`, None where there is none; refuse a file that is damaged."""
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        train, validation = ([PreparedCase(**case) for case in document[part]] for part in ("train", "validation"))
        return Cases(document["settings"], train, validation)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Refused(Reason.UNREADABLE, str(file), f"it does not say which cases there are: {error}") from error
