"""The wheel and the sdist: what is in them, and that one can be made from the other."""

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import dicomnode

ROOT = Path(__file__).parents[1]


def build(project: Path, target: str, folder: Path) -> Path:
    """Build `target` of `project` without fetching anything; return the file."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder],
        cwd=project,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_brings_two_import_names_and_nothing_else(wheel: Path) -> None:
    metadata = f"dicomnode-{dicomnode.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names_in(wheel)} == {"dicomnode", "dicomnode_cli", metadata}


def test_the_wheel_carries_every_module_of_the_checkout(wheel: Path) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "dicomnode").rglob("*.py")}
    modules |= {str(path.relative_to(ROOT / "cli")) for path in (ROOT / "cli").rglob("*.py")}
    assert modules - names_in(wheel) == set()


def test_the_wheel_carries_every_other_file_of_the_packages(wheel: Path) -> None:
    files = {
        str(path.relative_to(root))
        for root, package in ((ROOT, "dicomnode"), (ROOT / "cli", "dicomnode_cli"))
        for path in (root / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert "dicomnode/conformance/statement.md" in files
    assert files - names_in(wheel) == set()


@pytest.mark.parametrize("folder", ["config", "models"])
def test_the_wheel_carries_settings_and_models_as_data(wheel: Path, folder: str) -> None:
    shipped = {f"dicomnode/share/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert shipped
    assert shipped - names_in(wheel) == set()


def test_both_packages_say_that_they_are_typed(wheel: Path) -> None:
    assert {"dicomnode/py.typed", "dicomnode_cli/py.typed"} <= names_in(wheel)


def test_the_wheel_names_the_command_and_carries_the_licence(wheel: Path) -> None:
    metadata = f"dicomnode-{dicomnode.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        entry_points = archive.read(f"{metadata}/entry_points.txt").decode()
        licence = archive.read(f"{metadata}/licenses/LICENSE").decode()
    assert "dicomnode = dicomnode_cli.main:main" in entry_points
    assert "Apache License" in licence


def test_the_version_is_the_same_everywhere(wheel: Path, sdist: Path) -> None:
    assert version("dicomnode") == dicomnode.__version__
    assert wheel.name.startswith(f"dicomnode-{dicomnode.__version__}-py3")
    assert sdist.name == f"dicomnode-{dicomnode.__version__}.tar.gz"


def test_the_sdist_makes_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has none
        archive.extractall(tmp_path / "unpacked")  # noqa: S202 - made here
    (project,) = (tmp_path / "unpacked").iterdir()
    assert names_in(build(project, "wheel", tmp_path / "wheel")) == names_in(wheel)
