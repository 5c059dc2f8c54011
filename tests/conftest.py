"""What tests ask of the machine: real data, real peers; without them they skip, and say why."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

CHECKOUT = Path(__file__).resolve().parent.parent

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real data."""
    folder = Path(os.environ.get("DICOMNODE_TEST_DATA") or CHECKOUT.parent / "shared" / "data")
    if not folder.is_dir():
        without(f"there is no real data: DICOMNODE_TEST_DATA is not set, and {folder} is no folder")
    return folder


def require_program(name: str) -> str:
    """Return where the program `name` is, or skip the test.

    The system's comes first: pynetdicom puts programs of its own into the environment, called as DCMTK's are.
    """
    system = "/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin"
    found = shutil.which(name, path=system) or shutil.which(name)
    return found or without(f"{name} is not installed (make peers)")


def without(reason: str) -> NoReturn:
    """Skip the test for `reason`; fail it instead where DICOMNODE_REQUIRE_ALL asks for every test."""
    if os.environ.get("DICOMNODE_REQUIRE_ALL"):
        pytest.fail(f"DICOMNODE_REQUIRE_ALL is set, and {reason}")
    pytest.skip(reason)
