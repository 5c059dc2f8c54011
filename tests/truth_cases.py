"""Cases with known truth for tests of fine-tuning: drawn scenes as planes of a stack."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Plane, PlaneKey, Stack, Uid
from dicomnode.inference.windows import Window
from dicomnode.training.truths.case import Case
from tests.bench.scenes import drawn


def case_of(
    planes: NDArray[np.uint16], masks: Mapping[str, Mapping[int, NDArray[np.bool_]]], name: str = "case"
) -> Case:
    """Return a case of `planes`, (plane, row, column), seen from their least value to their greatest."""
    stack = Stack(
        key=name,
        series_uid=Uid(name),
        study_uid=Uid(name),
        modality="OT",
        frame_of_reference_uid=None,
        planes=tuple(_plane(pixels, number) for number, pixels in enumerate(planes)),
        facts=frozenset(),
    )
    window = Window(float(planes.min()), float(planes.max()), "all values")
    return Case(name=name, group=name, stack=stack, window=window, masks=masks)


def drawn_case(seed: int, planes: int, objects: int = 4, side: int = 256) -> Case:
    """Return a case of drawn scenes; the objects of all planes are one structure each."""
    generator = np.random.default_rng(seed)
    scenes = [drawn(generator, objects, side) for _ in range(planes)]
    pixels = np.stack([np.rint(scene.image * 1000).astype(np.uint16) for scene in scenes])
    masks = {
        f"object {number}": {index: scene.masks[number] for index, scene in enumerate(scenes)}
        for number in range(objects)
    }
    return case_of(pixels, masks, f"case {seed}")


def _plane(pixels: NDArray[np.uint16], number: int) -> Plane:
    return Plane(
        key=PlaneKey(Uid("1"), number + 1),
        source=Path("drawn"),
        position=(0.0, 0.0, float(number)),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        spacing=(1.0, 1.0),
        thickness=None,
        stored=pixels,
        slope=1.0,
        intercept=0.0,
        inverted=False,
        padding=None,
    )
