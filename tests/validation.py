"""Ask dciodvfy (dicom3tools) and PixelMed about an object, and tell which of its errors are waived (waivers.toml)."""

import re
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR

from dicomnode.dicom.reading import text
from tests.conftest import require_program, without

_LABEL_MAP = b"1.2.840.10008.5.1.4.1.1.66.7"
_PIXELMED = Path("/usr/share/java/pixelmed.jar")
_PROGRAM = Path(__file__).with_name("PixelMed.java")  # a JRE runs its source as it is
_JAVA_OPTIONS = (
    # its rules are longer than a JRE of today allows
    *(f"-Djdk.xml.xpath{limit}=0" for limit in ("ExprOpLimit", "TotalOpLimit", "ExprGrpLimit")),
    *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),  # most of the time goes into reading the rules
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiver:
    """An error that is accepted: always, or with `element` only where it is about a value that the source has there."""

    pattern: re.Pattern[str]
    reason: str
    section: str
    element: str = ""

    def covers(self, line: str, sources: tuple[Dataset, ...]) -> bool:
        """Return whether a validator's `line` is accepted, and about what one of `sources` says where it must be."""
        found = self.pattern.match(line)
        if not found or not self.element:
            return bool(found)
        with disable_value_validation():
            stated = [self._comparable(text(source, self.element)) for source in sources]
        return self._comparable("\\".join(found.groups())) in stated

    def _comparable(self, value: str) -> str | list[float]:
        """Return `value` as it is compared: dciodvfy writes decimals in a form of its own."""
        return [float(one) for one in value.split("\\")] if dictionary_VR(self.element) == "DS" else value


class Validator(StrEnum):
    """PixelMed's validators, as tests/PixelMed.java knows them."""

    INSTANCE = "INSTANCE"
    SR = "SR"

    @property
    def ending(self) -> str:
        """Return what it says when it knows such an object and has looked at all of it."""
        return "Root Template Validation Complete" if self is Validator.SR else "IOD validation complete"


@cache
def waivers(table: str = "waiver") -> tuple[Waiver, ...]:
    """Return the waivers in `table`."""
    with Path(__file__).with_name("waivers.toml").open("rb") as file:
        listed = tomllib.load(file)[table]
    return tuple(Waiver(**{**one, "pattern": re.compile(one["pattern"])}) for one in listed)


def errors_of(path: Path) -> list[str]:
    """Return the lines in which dciodvfy says that the object at `path` is wrong, but for what it does not know."""
    return [line for line in lines_of(path) if not unknown(line, path)]


def unknown(line: str, path: Path) -> frozenset[Waiver]:
    """Return the waivers of `line` where the object at `path` is a label map, or refers to one."""
    if _LABEL_MAP not in path.read_bytes():
        return frozenset()
    return frozenset(waiver for waiver in waivers("label_map") if waiver.covers(line, ()))


def split_errors(path: Path, *sources: Dataset) -> tuple[set[str], list[str]]:
    """Return the elements of `sources` that dciodvfy finds wrong in the object at `path`, and all its other errors."""
    copied: set[str] = set()
    own: list[str] = []
    for line in errors_of(path):
        elements = {waiver.element for waiver in covering(line, sources)}
        copied |= elements
        if not elements:
            own.append(line)
    return copied, own


def covering(line: str, sources: tuple[Dataset, ...]) -> frozenset[Waiver]:
    """Return the waivers of dciodvfy's `line` on an object made of `sources`."""
    return frozenset(one for one in (*waivers(), *waivers("identifier")) if one.covers(line, sources))


def lines_of(path: Path) -> list[str]:
    """Return all lines in which dciodvfy says that the object at `path` is wrong."""
    command = [require_program("dciodvfy"), "-new", str(path)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.startswith("Error")]


def split_by_pixelmed(
    validator: Validator, sources: Mapping[Path, Dataset]
) -> tuple[dict[Path, list[str]], set[Waiver]]:
    """Return in which lines PixelMed says that the objects at these paths are wrong, and the waivers of other lines.

    `sources` are the paths, each with an image that its object was made of.
    """
    own: dict[Path, list[str]] = {path: [] for path in sources}
    used: set[Waiver] = set()
    for path, lines in _pixelmed_errors(validator, list(sources)).items():
        for line in lines:
            covering = {waiver for waiver in waivers("pixelmed") if waiver.covers(line, (sources[path],))}
            used |= covering
            if not covering:
                own[path].append(line)
    return own, used


def _pixelmed_errors(validator: Validator, paths: Sequence[Path]) -> dict[Path, list[str]]:
    """Return the lines in which `validator` says that something is wrong; it reads its rules once for all `paths`."""
    if not _PIXELMED.is_file():
        without(f"{_PIXELMED} is not installed (make peers)")
    command: list[str | Path] = [require_program("java"), *_JAVA_OPTIONS, "-cp", _PIXELMED, _PROGRAM, validator, *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    _, *parts = re.split(r"^File: .*\n", done.stdout, flags=re.MULTILINE)
    found = {path: part.splitlines() for path, part in zip(paths, parts, strict=True)}
    assert all(validator.ending in lines for lines in found.values()), done.stdout + done.stderr
    return {path: [line for line in lines if line.startswith("Error")] for path, lines in found.items()}
