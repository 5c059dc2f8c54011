"""Every kind of result of every series of the real data, as dciodvfy sees it."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicomnode.dicom.reading import read_dataset
from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import findings_of
from dicomnode.dicom.results.objects import write_objects
from dicomnode.dicom.scan import scan
from dicomnode.domain import (
    Annotation,
    Box,
    JobOptions,
    ObjectKind,
    Prompt,
    SegType,
    Stack,
)
from dicomnode.errors import Refused
from dicomnode.planning import plan
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import planes_of
from tests.validation import covering, lines_of, unknown, waivers
from tests.values import annotation, masks_of, prompt

pytestmark = [pytest.mark.data, pytest.mark.peer]

ALL = JobOptions(objects=tuple(ObjectKind))
ALL_TYPES = replace(ALL, seg_types=tuple(SegType))
MOST_PLANES = 2
PLACELESS = {ObjectKind.SEG, ObjectKind.SR, ObjectKind.SC, ObjectKind.PR}
SETS = (
    *("breast_mr_br06_4d_seg", "crlm_ct_1004", "dcm_qa_agfa", "dcm_qa_ct_variable_and_plain", "dcm_qa_decubitus"),
    *("dcm_qa_xa30_enhanced", "dcmqi", "dcmqi_tid1500", "dicom2nifti_oddgeom", "dicompyler_rtss_missing_images"),
    *("highdicom_testfiles", "ibsi_sts", "papaya_mr_irregular", "pydicom_data_codecs", "pydicom_testfiles", "rt_utils"),
    *("sts_raw_STS_001", "totalseg"),
)
# identifiers are written as the source has them
WRONG_IN_THE_SOURCE: Mapping[str, set[str]] = {
    "ibsi_sts": {"StudyID"},
    "dcm_qa_agfa": {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"},
    "papaya_mr_irregular": {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"},
    "pydicom_data_codecs": {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"},
    "pydicom_testfiles": {"StudyInstanceUID"},
}


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was made of one series: the kinds, and the files that they are in."""

    key: str
    placed: bool
    images: frozenset[Path]
    kinds: frozenset[ObjectKind]
    paths: Sequence[Path]

    @cached_property
    def sources(self) -> tuple[Dataset, ...]:
        return tuple(read_dataset(path, path.name, pixels=False)[0] for path in sorted(self.images))


def made_of_all_in(folder: Path, drawn: Annotation, output: Path) -> Iterator[Made]:
    instances, _ = scan([folder])
    for number, images in enumerate(plan(instances).stacks):
        try:
            stack = planes_of(images)
        except Refused:  # it has no pixels, or no decoder: nothing comes of it
            continue
        options = ALL if number else ALL_TYPES
        masks = masks_of(stack, list(prompts_on(stack)), FillsTheBox(), options)
        findings = findings_of(masks, stack, drawn, FillsTheBox().identity, "1")
        objects = write_objects(findings, options).objects
        check(objects, masks, stack)
        paths = save([dcmread(BytesIO(one.content)) for one in objects], output / f"{number}")
        yield Made(
            key=stack.key,
            placed=stack.frame_of_reference_uid is not None,
            images=frozenset(plane.source for plane in stack.planes),
            kinds=frozenset(one.kind for one in objects),
            paths=paths,
        )


def prompts_on(stack: Stack) -> Iterator[Prompt]:
    """Yield two prompts side by side on the first and the last plane."""
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


@pytest.fixture(scope="module")
def made(data_dir: Path, drawn: Annotation, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Made]]:
    return {name: [*made_of_all_in(data_dir / name, drawn, tmp_path_factory.mktemp(name))] for name in SETS}


@pytest.fixture(scope="module")
def lines(made: Mapping[str, list[Made]]) -> Mapping[str, list[tuple[Made, Path, str]]]:
    """Return what dciodvfy says of each object."""
    with ThreadPoolExecutor(max_workers=2) as pool:  # it is dciodvfy that takes the time
        return {
            name: [
                (one, path, line)
                for one in found
                for path, told in zip(one.paths, pool.map(lines_of, one.paths), strict=True)
                for line in told
            ]
            for name, found in made.items()
        }


def test_every_series_that_can_be_read_gives_every_kind_of_result(made: Mapping[str, list[Made]]) -> None:
    assert sum(map(len, made.values())) >= 148
    for one in (one for found in made.values() for one in found):
        assert one.kinds == (set(ObjectKind) if one.placed else PLACELESS), one.key


@pytest.mark.parametrize("name", SETS)
def test_dciodvfy_finds_nothing_wrong_but_what_is_wrong_in_the_source(
    lines: Mapping[str, list[tuple[Made, Path, str]]], name: str
) -> None:
    copied: set[str] = set()
    for made, path, line in lines[name]:
        waived = unknown(line, path) | covering(line, made.sources)
        assert waived, f"{made.key}: {dcmread(path).Modality}: {line}"
        copied |= {waiver.element for waiver in waived if waiver.element}
    assert copied == WRONG_IN_THE_SOURCE.get(name, set())


def test_every_waiver_is_needed(lines: Mapping[str, list[tuple[Made, Path, str]]]) -> None:
    used = {
        waiver
        for told in lines.values()
        for made, path, line in told
        for waiver in unknown(line, path) | covering(line, made.sources)
    }
    assert used >= {*waivers("identifier"), *waivers("label_map")}
