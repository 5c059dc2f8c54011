"""Ask dciodvfy (dicom3tools) about an object, and tell which of its errors are the source's own (waivers.toml)."""

import re
import subprocess
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR

from dicomnode.dicom.reading import text
from tests.conftest import require_program


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiver:
    """An error that is accepted where it is about a value that `element` of the source has."""

    element: str
    pattern: re.Pattern[str]
    reason: str
    section: str

    def covers(self, line: str, sources: tuple[Dataset, ...]) -> bool:
        """Return whether dciodvfy's `line` is about what one of `sources` says."""
        found = self.pattern.match(line)
        if not found:
            return False
        with disable_value_validation():
            stated = [self._comparable(text(source, self.element)) for source in sources]
        return self._comparable("\\".join(found.groups())) in stated

    def _comparable(self, value: str) -> str | list[float]:
        """Return `value` as it is compared: dciodvfy writes decimals in a form of its own."""
        return [float(one) for one in value.split("\\")] if dictionary_VR(self.element) == "DS" else value


@cache
def waivers() -> tuple[Waiver, ...]:
    """Return the waivers, each with an element of its own."""
    with Path(__file__).with_name("waivers.toml").open("rb") as file:
        listed = tomllib.load(file)["waiver"]
    return tuple(Waiver(**{**one, "pattern": re.compile(one["pattern"])}) for one in listed)


def errors_of(path: Path) -> list[str]:
    """Return the lines in which dciodvfy says that the object at `path` is wrong."""
    command = [require_program("dciodvfy"), "-new", str(path)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.startswith("Error")]


def split_errors(path: Path, *sources: Dataset) -> tuple[set[str], list[str]]:
    """Return the elements of `sources` that dciodvfy finds wrong in the object at `path`, and all its other errors."""
    copied: set[str] = set()
    own: list[str] = []
    for line in errors_of(path):
        elements = {waiver.element for waiver in waivers() if waiver.covers(line, sources)}
        copied |= elements
        if not elements:
            own.append(line)
    return copied, own
