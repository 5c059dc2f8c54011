"""Write the SEG of a long series, and the same masks with highdicom alone and with dcmqi, each in a process of its own.

`python tests/bench/writing.py` prints the table; `python tests/bench/writing.py WRITER FOLDER` what one of them takes.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import highdicom as hd
import nibabel
import numpy as np
from highdicom.seg import Segmentation, SegmentationTypeValues
from numpy.typing import NDArray
from pydicom import dcmread

from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import findings_of
from dicomnode.dicom.results.segmentation import write_segs
from dicomnode.dicom.results.segments import describe_segment
from dicomnode.domain import Annotation, Mask, SegType, Stack
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import job_in, planes_of
from tests.values import prompt

PLANES, SIDE, REPEATS = 300, 512, 3
DEPTHS = (171, 120, 84, 60, 30)  # on so many planes there is each segment: 465 frames on 171 planes
_MODEL = FillsTheBox().identity
_MARGIN = 8  # pixels over which a probability falls


class Writing(NamedTuple):
    """What writing took: seconds, the most memory of the process, the bytes of the file, seconds of the self-check."""

    seconds: float
    peak_bytes: int
    file_bytes: int
    check_seconds: float = 0.0


def main() -> None:
    """Print the table."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        _save_study(folder)
        turns = [{writer: _write_apart(writer, folder) for writer in _WRITERS} for _ in range(REPEATS)]
    frames = f"{sum(DEPTHS)} frames on {max(DEPTHS)} of {PLANES} planes of {SIDE} x {SIDE}, {len(DEPTHS)} segments"
    sys.stdout.write(f"write {frames}; the best of {REPEATS} processes each\n\n")
    yardstick = min(turn["highdicom"].seconds for turn in turns)
    for writer in _WRITERS:
        best = min((turn[writer] for turn in turns), key=lambda one: one.seconds)
        peak = max(turn[writer].peak_bytes for turn in turns)
        line = f"{writer:<28}{best.seconds:8.2f} s   {best.seconds / yardstick:6.2f} x highdicom"
        line += f"{peak / 2**30:8.2f} GiB at the most{best.file_bytes:13} bytes"
        sys.stdout.write(f"{line}   self-check {best.check_seconds:.2f} s\n" if best.check_seconds else f"{line}\n")
    sys.stdout.write("\n")


def measure(writer: str, folder: Path) -> None:
    """Print as JSON what `writer` takes for the study in `folder`."""
    for file in (folder / "study" / "images").iterdir():  # so that nobody pays for the disk
        file.read_bytes()
    sys.stdout.write(json.dumps(_WRITERS[writer](folder)))


def _write_apart(writer: str, folder: Path) -> Writing:
    done = subprocess.run([sys.executable, __file__, writer, folder], capture_output=True, check=True, timeout=600)
    return Writing(*json.loads(done.stdout))


def _save_study(folder: Path) -> None:
    """Save a series, a structure set that names it, and the masks as a label map for dcmqi."""
    images = ct_series(planes=PLANES, shape=(SIDE, SIDE))
    save(images, folder / "study" / "images")
    save([rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]})], folder / "study" / "annotation")
    labels = np.zeros((SIDE, SIDE, PLANES), dtype=np.int16)
    for number, mask in enumerate(_masks(), start=1):
        for index, inside in mask.planes.items():
            labels[inside.T, index] = number
    affine = np.diag([-1.0, -1.0, 2.5, 1.0])  # of NIfTI's axes, in a series of 1 mm pixels and 2.5 mm steps
    library: Any = nibabel
    library.save(library.Nifti1Image(labels, affine), folder / "labels.nii")
    code = {"CodeValue": "85756007", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Tissue"}
    segments = [
        {
            "labelID": number,
            "SegmentLabel": f"segment {number}",
            "SegmentDescription": f"segment {number}",
            "SegmentAlgorithmType": "SEMIAUTOMATIC",
            "SegmentAlgorithmName": "bench",
            "SegmentedPropertyCategoryCodeSequence": code,
            "SegmentedPropertyTypeCodeSequence": code,
        }
        for number in range(1, len(DEPTHS) + 1)
    ]
    head = {"ContentCreatorName": "BENCH", "SeriesDescription": "bench", "SeriesNumber": "1", "InstanceNumber": "1"}
    (folder / "meta.json").write_text(json.dumps({**head, "segmentAttributes": [segments]}), encoding="ascii")


def _masks(*, probable: bool = False) -> tuple[Mask, ...]:
    """Return discs beside each other, each on planes of its own number, if asked for with probabilities."""
    made = []
    y, x = np.indices((SIDE, SIDE))
    for number, depth in enumerate(DEPTHS):
        middle = (60 + 95 * number, 256)
        distance = np.hypot(x - middle[0], y - middle[1])
        planes, probabilities = {}, {}
        for index in range(depth):
            inwards = 40 - index % 7 - distance
            values = np.clip(128 + np.ceil(inwards * 128 / _MARGIN), 0, 255).astype(np.uint8)
            planes[60 + index] = values >= 128
            if probable:
                probabilities[60 + index] = values
        label = f"segment {number + 1}"
        made.append(Mask(prompt=prompt({}, label), planes=planes, probabilities=probabilities))
    return tuple(made)


def _with_dicomnode(folder: Path, seg_type: SegType) -> Writing:
    stack, annotation = _stack(folder)
    masks = _masks(probable=seg_type is SegType.FRACTIONAL)
    path = folder / f"{seg_type}.dcm"
    started = time.perf_counter()
    segs = write_segs(findings_of(masks, stack, annotation, _MODEL, "1"), seg_type)
    path.write_bytes(segs[0].content)
    written, peak = time.perf_counter(), _peak()
    check(segs, masks, stack)
    return Writing(written - started, peak, path.stat().st_size, time.perf_counter() - written)


def _stack(folder: Path) -> tuple[Stack, Annotation]:
    job = job_in(folder / "study")
    return planes_of(job.images), job.annotation


def _with_highdicom(folder: Path, *, stacked: bool) -> Writing:
    """Let highdicom write from (plane, row, column) numbers, its fastest way, or with an axis for segments."""
    masks = _masks()
    pixels = np.zeros((PLANES, SIDE, SIDE, len(DEPTHS))[: 4 if stacked else 3], np.uint8)
    for number, mask in enumerate(masks):
        for index, inside in mask.planes.items():
            if stacked:
                pixels[index, :, :, number] = inside
            else:
                pixels[index][inside] = number + 1
    paths, path = _in_order(folder), folder / "highdicom.dcm"
    started = time.perf_counter()
    _segmentation(paths, pixels, masks).save_as(path)
    return Writing(time.perf_counter() - started, _peak(), path.stat().st_size)


def _in_order(folder: Path) -> list[Path]:
    return sorted((folder / "study" / "images").iterdir(), key=lambda path: int(path.stem.rpartition(".")[2]))


def _segmentation(paths: list[Path], pixels: NDArray[np.uint8], masks: tuple[Mask, ...]) -> Segmentation:
    return Segmentation(
        source_images=[dcmread(path, stop_before_pixels=True) for path in paths],
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[describe_segment(number, mask, _MODEL) for number, mask in enumerate(masks, 1)],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="bench",
        manufacturer_model_name="bench",
        software_versions="1",
        device_serial_number="1",
    )


def _with_dcmqi(folder: Path) -> Writing:
    path = folder / "dcmqi.dcm"
    program = Path(sys.executable).with_name("itkimage2segimage")
    command: list[str | Path] = [program, "--inputImageList", folder / "labels.nii", "--outputDICOM", path]
    command += [
        "--inputDICOMDirectory",
        folder / "study" / "images",
        "--inputMetadata",
        folder / "meta.json",
        "--skip",
        "1",
    ]
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True, timeout=300)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return Writing(seconds, peak, path.stat().st_size)


def _peak() -> int:
    """Return the most memory this process has had, in bytes; getrusage would count its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


_WRITERS: dict[str, Callable[[Path], Writing]] = {
    "BINARY": lambda folder: _with_dicomnode(folder, SegType.BINARY),
    "LABELMAP": lambda folder: _with_dicomnode(folder, SegType.LABELMAP),
    "FRACTIONAL": lambda folder: _with_dicomnode(folder, SegType.FRACTIONAL),
    "highdicom": lambda folder: _with_highdicom(folder, stacked=False),
    "highdicom, an axis more": lambda folder: _with_highdicom(folder, stacked=True),
    "dcmqi": _with_dcmqi,
}

if __name__ == "__main__":
    measure(sys.argv[1], Path(sys.argv[2])) if sys.argv[1:] else main()
