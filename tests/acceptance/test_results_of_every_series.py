"""Every kind of result of every series of the real data, as dciodvfy sees it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import findings_of
from dicomnode.dicom.results.objects import write_objects
from dicomnode.dicom.scan import scan
from dicomnode.domain import (
    Annotation,
    Box,
    Fact,
    JobOptions,
    ObjectKind,
    Prompt,
    SegType,
    Stack,
    StackImages,
    WrittenObject,
)
from dicomnode.errors import Refused
from dicomnode.planning import plan
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import planes_of
from tests.validation import split_errors
from tests.values import annotation, masks_of, prompt

pytestmark = [pytest.mark.data, pytest.mark.peer]

ALL = JobOptions(objects=tuple(ObjectKind), seg_types=tuple(SegType))
MOST_PLANES = 3
PLACELESS = {ObjectKind.SEG, ObjectKind.SR, ObjectKind.SC, ObjectKind.PR}
# identifiers and directions are written as the source has them
WRONG_IN_THE_SOURCE: Mapping[str, set[str]] = {"ibsi_sts": {"StudyID"}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What was made of one series, in files."""

    images: StackImages
    stack: Stack
    objects: tuple[WrittenObject, ...]
    paths: Sequence[Path]

    @property
    def source(self) -> Dataset:
        return dcmread(self.stack.planes[0].source, stop_before_pixels=True, force=True)


def made_of_all_in(folder: Path, drawn: Annotation, output: Path) -> Iterator[Made]:
    instances, _ = scan([folder])
    for number, images in enumerate(plan(instances).stacks):
        try:
            stack = planes_of(images)
        except Refused:  # it has no pixels, or no decoder: nothing comes of it
            continue
        masks = masks_of(stack, list(prompts_on(stack)), FillsTheBox(), ALL)
        findings = findings_of(masks, stack, drawn, FillsTheBox().identity, "1")
        objects = write_objects(findings, ALL).objects
        check(objects, masks, stack)
        paths = save([dcmread(BytesIO(one.content)) for one in objects], output / f"{number}")
        yield Made(images=images, stack=stack, objects=objects, paths=paths)


def prompts_on(stack: Stack) -> Iterator[Prompt]:
    """Yield two prompts side by side on the first, the middle and the last plane."""
    _, rows, columns = stack.shape
    chosen = np.unique(np.linspace(0, len(stack.planes) - 1, MOST_PLANES).astype(int))
    for label, first in (("left", columns // 4), ("right", columns // 2)):
        last = max(first, first + columns // 4 - 1)
        box = Box(x0=first - 0.5, y0=rows // 4 - 0.5, x1=last + 0.5, y1=rows // 2 + 0.5)
        yield prompt({stack.planes[index].key: box for index in chosen}, label)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Annotation:
    """Return an annotation that has a file."""
    structure_set = rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, 5.0)]})
    (path,) = save([structure_set], tmp_path_factory.mktemp("annotation"))
    return replace(annotation(), path=path)


SETS = (
    *("breast_mr_br06_4d_seg", "crlm_ct_1004", "dcm_qa_agfa", "dcm_qa_ct_variable_and_plain", "dcm_qa_decubitus"),
    *("dcm_qa_xa30_enhanced", "dcmqi", "dcmqi_tid1500", "dicom2nifti_oddgeom", "dicompyler_rtss_missing_images"),
    *("highdicom_testfiles", "ibsi_sts", "papaya_mr_irregular", "pydicom_data_codecs", "pydicom_testfiles", "rt_utils"),
    *("sts_raw_STS_001", "totalseg"),
)


@pytest.mark.parametrize("name", SETS)
def test_dciodvfy_finds_nothing_wrong_but_what_is_wrong_in_the_source(
    data_dir: Path, tmp_path: Path, drawn: Annotation, name: str
) -> None:
    found: dict[str, set[str]] = {}
    own: dict[str, list[str]] = {}
    for made in made_of_all_in(data_dir / name, drawn, tmp_path):
        assert {one.kind for one in made.objects} == kinds_of(made.stack)
        for written, path in zip(made.objects, made.paths, strict=True):
            copied, errors = split_errors(path, made.source)
            title = f"{written.kind} {written.alternative} of {made.source.filename}"
            found[title] = copied
            own[title] = [] if written.alternative is SegType.LABELMAP and written.kind is ObjectKind.SEG else errors
    assert {title: errors for title, errors in own.items() if errors} == {}
    assert set().union(*found.values()) == WRONG_IN_THE_SOURCE.get(name, set())


def kinds_of(stack: Stack) -> set[ObjectKind]:
    return set(PLACELESS if Fact.NO_FRAME_OF_REFERENCE in stack.facts else ObjectKind)
