"""Findings that a test makes up, their pictures and presentation states, and what other programs make of those."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread

from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import Findings, findings_of
from dicomnode.dicom.results.pictures import write_pictures
from dicomnode.dicom.results.presentation import write_presentation_states
from dicomnode.domain import Box, Mask, Stack, WrittenObject
from tests.builders import ct_series, rtstruct, save, square
from tests.conftest import require_program
from tests.fakes import FillsTheBox
from tests.folders import stack_of
from tests.values import annotation, prompt

Pixels = NDArray[np.bool_]


def block(rows: slice, columns: slice, shape: tuple[int, int] = (32, 40)) -> Pixels:
    """Return a mask, (row, column) bool, with a rectangle inside."""
    inside = np.zeros(shape, dtype=bool)
    inside[rows, columns] = True
    return inside


def boxed(
    stack: Stack,
    planes: Mapping[int, Pixels],
    label: str = "organ",
    *,
    colour: tuple[int, int, int] | None = None,
    boxes: Mapping[int, Box] | None = None,
) -> Mask:
    """Return a mask of `planes` whose prompt has `boxes` on planes, or just one round what is inside on each."""
    if boxes is None:
        boxes = {index: _round(inside) for index, inside in planes.items() if inside.any()}
    drawn = prompt({stack.planes[index].key: box for index, box in boxes.items()}, label)
    return Mask(prompt=replace(drawn, colour=colour), planes=planes)


def found(images: Sequence[Dataset], folder: Path, *masks: tuple[Mapping[int, Pixels], str]) -> Findings:
    """Return findings of boxed `masks`, (planes, label), on the only stack that `images` make in `folder`."""
    stack = stack_of(images, folder / "images")
    return findings_with(stack, folder, *(boxed(stack, planes, label) for planes, label in masks))


def findings_with(stack: Stack, folder: Path, *masks: Mask) -> Findings:
    """Return findings of `masks`; their annotation lies in `folder`."""
    drawn = rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, 5.0)]})
    (path,) = save([drawn], folder / "annotation")
    return findings_of(masks, stack, replace(annotation(), path=path), FillsTheBox().identity, "1")


def pictures_of(findings: Findings) -> list[Dataset]:
    """Write the pictures of `findings`, check them, and return them as they stand in files."""
    objects = write_pictures(findings)
    check(objects, findings.masks, findings.stack)
    return [read(one) for one in objects]


def state_of(findings: Findings) -> Dataset:
    """Write the presentation state of `findings`, check it, and return it as it stands in a file."""
    (written,) = write_presentation_states(findings)
    check([written], findings.masks, findings.stack)
    return read(written)


def read(written: WrittenObject) -> Dataset:
    """Return the data set in `written`."""
    return dcmread(BytesIO(written.content))


def rewritten(written: WrittenObject, ds: Dataset) -> WrittenObject:
    """Return `written` with `ds` for its content."""
    buffer = BytesIO()
    ds.save_as(buffer)
    return replace(written, content=buffer.getvalue())


def saved(written: WrittenObject, folder: Path) -> Path:
    """Write `written` into `folder`; return where."""
    path = folder / f"{written.sop_instance_uid}.dcm"
    path.write_bytes(written.content)
    return path


def shown_by_dcmtk(image: Path, state: Path, folder: Path) -> tuple[NDArray[np.uint8], str]:
    """Return the greys, (row, column), of the first frame of `image` by `state` in DCMTK, and its words on that."""
    target = folder / "shown.pgm"
    command = [require_program("dcmp2pgm"), "-v", "-p", str(state), str(image), str(target)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return np.array(Image.open(target)), done.stderr.decode()


def lines_by_dcmtk(words: str, layer: str) -> list[list[tuple[float, float]]]:
    """Return the lines of `layer` in the `words` of DCMTK, each a list of x, y from the image's corner."""
    part = words.partition(f"[{layer}]")[2].partition("Graphic Layer")[0]
    listed = re.findall(r"coordinates: (.*)", part)
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+)\\([\d.]+)", line)] for line in listed]


def run(program: str, *arguments: str) -> str:
    """Return all that `program` says."""
    done = subprocess.run([program, *arguments], capture_output=True, timeout=60, check=False)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def _round(inside: Pixels) -> Box:
    rows, columns = np.nonzero(inside)
    left, right, top, bottom = (float(one) for one in (columns.min(), columns.max(), rows.min(), rows.max()))
    return Box(x0=left - 0.5, y0=top - 0.5, x1=right + 0.5, y1=bottom + 0.5)
