"""Made-up studies, no two alike, and which SEGs a node must make of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.builders import FRAME_OF_REFERENCE, STUDY, bright_square, ct_series, rtstruct, save, set_pixels, square

ROOT = "1.2.826.0.1.3680043.8.498"
SHAPE, REGIONS = (48, 64), ("liver", "spleen")


@dataclass(frozen=True, order=True, slots=True)
class Wanted:
    """A SEG that must come to be: of which series with how many images, and of which region."""

    study: str
    series: str
    images: int
    region: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeUp:
    """A study as files.

    One that is `whole` goes out in one association, as its annotation does not name all images; of every other, the
    annotations do, so that it may come in any order from anybody.
    """

    files: tuple[Path, ...]
    wanted: tuple[Wanted, ...]
    whole: bool


def made_up(number: int, planes: int, folder: Path, random: Random) -> MadeUp:
    """Write the study `number` into `folder`; there are four sorts, in turn."""
    whole = number % 4 == 3
    series, drawn = [_series(planes + random.randrange(3), random)], []
    drawn.append(_annotation(series[0][1:-1] if whole else series[0], "liver"))
    if number % 4 == 1:  # another series with an annotation of its own
        series.append(_series(planes, random))
        drawn.append(_annotation(series[1], "spleen"))
        _rename([*series[1], drawn[1]], {f"{STUDY}.2": f"{STUDY}.5", f"{STUDY}.3": f"{STUDY}.6"})
        _rename([*series[1], drawn[1]], {FRAME_OF_REFERENCE: f"{STUDY}.10"})
    elif number % 4 == 2:  # another annotation of the same series
        drawn.append(_annotation(series[0], "spleen"))
        _rename(drawn[1:], {f"{STUDY}.3": f"{STUDY}.6"})
    study = f"{ROOT}.{1000 + number}"
    objects = [*chain(*series), *drawn]
    _rename(objects, {STUDY: study})
    for ds in objects:
        ds.PatientID, ds.PatientName, ds.StudyID = f"CRASH-{number}", f"Crash^{number}", str(number)
    wanted = [
        Wanted(study, str(images[0].SeriesInstanceUID), len(images), REGIONS[one])
        for images, one in (zip([*series, *series[:1]], range(len(drawn)), strict=False))
    ]
    syntax = ImplicitVRLittleEndian if number % 3 == 0 else ExplicitVRLittleEndian
    return MadeUp(files=tuple(save(objects, folder / study, syntax=syntax)), wanted=tuple(wanted), whole=whole)


def _series(planes: int, random: Random) -> list[Dataset]:
    noise = np.random.default_rng(random.randrange(2**32))
    images = ct_series(planes=planes, shape=SHAPE)
    for image in images:
        set_pixels(image, bright_square(SHAPE) + noise.integers(0, 8, SHAPE, np.int16))
    return images


def _annotation(images: Sequence[Dataset], region: str) -> Dataset:
    heights = [float(image.ImagePositionPatient[2]) for image in images[1:-1]]
    return rtstruct(images, {region: [square(15, 11, 33, 25, height) for height in heights]})


def _rename(objects: Sequence[Dataset], roots: Mapping[str, str]) -> None:
    """Put the values of `roots` in place of its keys where UIDs begin with them."""

    def rename(_ds: Dataset, element: DataElement) -> None:
        for old, new in roots.items():
            if element.VR == "UI" and f"{element.value}.".startswith(f"{old}."):
                element.value = UID(new + element.value[len(old) :])
                return

    for ds in objects:
        ds.walk(rename)
        ds.file_meta.walk(rename)
