"""Ask dciodvfy (dicom3tools) about an object, and tell which of its errors are the source's own."""

import re
import subprocess
from pathlib import Path

from pydicom import Dataset
from pydicom.config import disable_value_validation

from tests.conftest import require_program

_ERROR = re.compile(r"Error - </(?P<keyword>\w+)\(\w{4},\w{4}\)\[1\]> - .*? = <(?P<value>[^>]*)>")
_IDENTIFIERS = {"StudyID", "AccessionNumber", "PatientName", "ReferringPhysicianName"}  # and every UID


def errors_of(path: Path) -> list[str]:
    """Return the lines in which dciodvfy says that the object at `path` is wrong."""
    command = [require_program("dciodvfy"), "-new", str(path)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.startswith("Error")]


def split_errors(path: Path, source: Dataset) -> tuple[set[str], list[str]]:
    """Return the identifiers of `source` that dciodvfy finds wrong in the object at `path`, and all its other errors.

    An error is the source's own where it is about an identifier that has the same value in the source image.
    """
    copied: set[str] = set()
    own: list[str] = []
    for line in errors_of(path):
        found = _ERROR.match(line)
        if found and _is_copied(found["keyword"], found["value"], source):
            copied.add(found["keyword"])
        else:
            own.append(line)
    return copied, own


def _is_copied(keyword: str, value: str, source: Dataset) -> bool:
    with disable_value_validation():
        return (keyword in _IDENTIFIERS or keyword.endswith("UID")) and str(source.get(keyword)) == value
