"""Ten thousand damaged annotations: each gives prompts inside the images, or is refused in words, and soon."""

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
from pydicom import Dataset

from dicomnode.dicom.instances import describe
from dicomnode.dicom.naming import tables_of
from dicomnode.dicom.pairing import pair
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.prompts.read import Asked, Means, read_prompts
from dicomnode.dicom.scan import scan
from dicomnode.domain import Annotation, AnnotationKind, JobOptions, Prompts, Stack, StackImages
from dicomnode.errors import Refused
from dicomnode.planning import plan
from tests import segs
from tests import sr_objects as srs
from tests.builders import FRAME_OF_REFERENCE, ct_series, rtstruct, save, square
from tests.folders import planes_of
from tests.mutations import damaged

EACH = 2_500
LARGEST = 1e-6  # pixels beyond the image's edge, for the last bits
SLOWEST = 5.0  # seconds of the processor for one: those that are sound take milliseconds
IMAGES = ct_series()
NAMES = [str(image.SOPInstanceUID) for image in IMAGES]
CORNERS = [(5.0, 5.0), (9.0, 5.0), (9.0, 12.0), (5.0, 12.0)]


def structure_set() -> Dataset:
    regions = {"liver": [square(10, 8, 20, 16, z) for z in (2.5, 5.0, 7.5)], "GTV": [square(3, 3, 6, 6, 5.0)]}
    return rtstruct(IMAGES, regions)


def report() -> Dataset:
    in_space = [(x, y, 5.0) for x, y in CORNERS]
    groups = (
        srs.ohif("RectangleROI", "liver", srs.measured(srs.AREA, srs.scoord("POLYLINE", CORNERS, srs.image(NAMES[1])))),
        srs.ohif("CircleROI", "node", srs.measured(srs.AREA, srs.scoord("CIRCLE", CORNERS[:2], srs.image(NAMES[2])))),
        srs.group(*srs.tracked("x"), srs.scoord3d("POLYGON", [*in_space, in_space[0]], FRAME_OF_REFERENCE)),
    )
    return srs.ohif_report(*groups)


def segmentation() -> Dataset:
    mask = np.zeros((3, 32, 40), dtype=np.uint8)
    mask[:, 5:12, 8:20] = 1
    shared = segs.grid((0.0, 0.0, 0.0))
    frames = [segs.frame(1, at=segs.grid((0.0, 0.0, 2.5 * index)), source=NAMES[index]) for index in range(3)]
    return segs.seg(mask, frames, SharedFunctionalGroupsSequence=[srs_item(**shared)])


def srs_item(**elements: object) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def presentation_state() -> Dataset:
    graphics = [segs.graphic("POLYLINE", [*CORNERS, CORNERS[0]]), segs.graphic("CIRCLE", CORNERS[:2])]
    images = segs.images_named(NAMES[1])
    return segs.gsps([{"GraphicObjectSequence": graphics, "ReferencedImageSequence": images}], images)


MAKERS = {
    AnnotationKind.RTSTRUCT: structure_set,
    AnnotationKind.SR: report,
    AnnotationKind.SEG: segmentation,
    AnnotationKind.PR: presentation_state,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> StackImages:
    folder = tmp_path_factory.mktemp("images")
    save(IMAGES, folder)
    (found,) = plan(scan([folder])[0]).stacks
    return found


@pytest.fixture(scope="module")
def stack(images: StackImages) -> Stack:
    return planes_of(images)


@pytest.fixture(scope="module")
def means() -> Iterator[Means]:
    with Decoders() as decoders:
        yield Means(decoders=decoders, tables=tables_of((), ""))


def prompts_of(content: bytes, path: Path, here: tuple[StackImages, Stack], means: Means) -> Prompts | None:
    """Return the prompts of an annotation on a stack, whatever it names; None where it is refused.

    What it means is decided, too: it is paired with that stack, or left out.
    """
    path.write_bytes(content)
    images, stack = here
    try:
        found = describe(BytesIO(content), path=path, digest="")
        if not isinstance(found, Annotation):
            return None
        pairs, left_out = pair([found], [images])
        assert pairs or left_out
        return read_prompts(Asked(annotation=found, companions=(), options=JobOptions()), stack, means)
    except Refused:
        return None


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", MAKERS, ids=str)
def test_a_damaged_annotation_is_refused_or_its_prompts_lie_inside_the_images(
    kind: AnnotationKind, images: StackImages, stack: Stack, means: Means, tmp_path: Path
) -> None:
    (path,) = save([MAKERS[kind]()], tmp_path)
    origin = path.read_bytes()
    whole = prompts_of(origin, path, (images, stack), means)
    assert whole is not None
    assert whole.prompts
    prompted = 0
    for seed in range(EACH):
        rng = Random(f"{kind} {seed}")  # noqa: S311 - to be repeated, not secret
        mutant, begun = damaged(rng, origin, [origin]), time.process_time()
        found = prompts_of(mutant, path, (images, stack), means)
        assert time.process_time() - begun < SLOWEST, seed
        if found and found.prompts:
            prompted += 1
            check(found, stack, seed)
    assert EACH / 10 < prompted < EACH


def check(found: Prompts, stack: Stack, seed: int) -> None:
    keys = {plane.key for plane in stack.planes}
    _, rows, columns = stack.shape
    for prompt in found.prompts:
        assert keys.issuperset({*prompt.boxes, *prompt.points}), seed
        for box in prompt.boxes.values():
            assert -0.5 - LARGEST <= box.x0 < box.x1 <= columns - 0.5 + LARGEST, (seed, box)
            assert -0.5 - LARGEST <= box.y0 < box.y1 <= rows - 0.5 + LARGEST, (seed, box)
        for x, y in (point for points in prompt.points.values() for point in points):
            assert -0.5 - LARGEST <= x <= columns - 0.5 + LARGEST, (seed, x)
            assert -0.5 - LARGEST <= y <= rows - 0.5 + LARGEST, (seed, y)
