"""Read structured reports by pydicom alone, to compare with what the product says."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue

from tests.conftest import without

TID1500READER = Path(sys.executable).parent / "tid1500reader"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReadGroup:
    """One measurement group: its items by the meaning of their names, each name with all its items."""

    ds: Dataset

    def all(self, name: str) -> list[Dataset]:
        return children(self.ds, name)

    def text(self, name: str) -> str:
        (item,) = self.all(name)
        return str(item.TextValue)

    def uid(self, name: str) -> str:
        (item,) = self.all(name)
        return str(item.UID)

    def meanings(self, name: str) -> list[str]:
        return [item.ConceptCodeSequence[0].CodeMeaning for item in self.all(name)]

    @property
    def values(self) -> dict[str, float]:
        """Return the value of each measurement, by its name, with its derivation if it has one."""
        return {name: float(value.NumericValue) for name, value in self._measured().items()}

    @property
    def units(self) -> dict[str, str]:
        """Return the unit of each measurement, likewise."""
        return {name: str(value.MeasurementUnitsCodeSequence[0].CodeValue) for name, value in self._measured().items()}

    def _measured(self) -> dict[str, Dataset]:
        found = {}
        for item in self.ds.ContentSequence:
            if item.ValueType == "NUM":
                derivation = [one.ConceptCodeSequence[0].CodeMeaning for one in children(item, "Derivation")]
                found[" ".join([meaning(item), *derivation])] = item.MeasuredValueSequence[0]
        return found

    @property
    def segment(self) -> tuple[str, int]:
        """Return the SEG that it refers to, and the number of the segment."""
        ((uid, number),) = [
            (one.ReferencedSOPInstanceUID, int(one.ReferencedSegmentNumber))
            for item in self.all("Referenced Segment")
            for one in item.ReferencedSOPSequence
        ]
        return uid, number

    def images(self, name: str = "Source Image for Segmentation") -> list[tuple[str, list[int]]]:
        """Return the images it names as `name`, with their frames."""
        named = [item.ReferencedSOPSequence[0] for item in self.all(name)]
        return [(one.ReferencedSOPInstanceUID, numbers_in(one.get("ReferencedFrameNumber"))) for one in named]


def groups_of(report: Dataset) -> list[ReadGroup]:
    (measurements,) = children(report, "Imaging Measurements")
    return [ReadGroup(ds=item) for item in children(measurements, "Measurement Group")]


def children(ds: Dataset, name: str) -> list[Dataset]:
    return [item for item in ds.get("ContentSequence", ()) if meaning(item) == name]


def meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def numbers_in(value: Any) -> list[int]:  # noqa: ANN401 - one number, several or none
    if value is None:
        return []
    return [int(one) for one in value] if isinstance(value, MultiValue) else [int(value)]


def evidence_of(report: Dataset, keyword: str = "CurrentRequestedProcedureEvidenceSequence") -> list[str]:
    return list(_listed(report.get(keyword, ())))


def _listed(studies: Sequence[Dataset]) -> Iterator[str]:
    for study in studies:
        for series in study.ReferencedSeriesSequence:
            for one in series.ReferencedSOPSequence:
                yield str(one.ReferencedSOPInstanceUID)


def measured_by_dcmqi(path: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the measurement groups of the report at `path` as dcmqi's tid1500reader reads them."""
    if not TID1500READER.is_file():
        without("tid1500reader is not installed (dcmqi, dependency group test)")
    read = folder / f"{path.stem}.json"
    command: list[str | Path] = [TID1500READER, "--inputDICOM", path, "--outputMetadata", read]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(read.read_text())["Measurements"]
    return found
