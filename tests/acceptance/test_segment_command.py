"""`dicomnode segment` as a user runs it: exit codes, and the JSON document."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import UID

from tests.builders import ct_series, rtstruct, save, square

DICOMNODE = Path(sys.executable).parent / "dicomnode"


def _run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [DICOMNODE, "segment", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def _study(folder: Path) -> list[Path]:
    images = ct_series()
    return save([*images, rtstruct(images, {"Liver": [square(10, 8, 20, 16, z) for z in (2.5, 5.0)]})], folder)


def _json(done: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401 - a JSON document
    return json.loads(done.stdout)


def test_a_folder_is_segmented_into_the_default_folder(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    done = _run("in", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "segmentations").rglob("*_SEG.dcm"))) == 1
    assert "Liver" in done.stdout


def test_the_json_document_has_what_is_promised_and_absolute_paths(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    done = _run("in", "--json", "-o", "out", cwd=tmp_path)
    document = _json(done)
    assert done.returncode == 0
    assert set(document) == {"results", "refused", "set_aside"}
    result = document["results"][0]
    expected = {"stack", "series_uid", "annotation_uid", "annotation_kind", "model", "objects", "segments", "seconds"}
    assert set(result) == expected
    assert result["stack"] == f"{result['series_uid']}/1"
    assert (result["annotation_kind"], result["model"]) == ("RTSTRUCT", "classical")
    assert Path(result["objects"][0]["path"]).is_absolute()
    assert set(result["segments"][0]) == {"number", "label", "voxels", "volume_ml", "planes"}
    assert set(result["seconds"]) == {"read", "prompts", "segment", "write", "total"}


def test_images_without_annotation_end_with_3_and_a_sentence(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    done = _run("in", "--json", cwd=tmp_path)
    assert done.returncode == 3
    assert _json(done) == {"results": [], "refused": [], "set_aside": []}
    assert "Found 1 stack of 5 images (CT), but no annotation" in done.stderr


def test_a_truncated_file_among_good_ones_ends_with_4_and_is_named(tmp_path: Path) -> None:
    paths = _study(tmp_path / "in")
    paths[-2].write_bytes(paths[-2].read_bytes()[:600])
    done = _run("in", "--json", cwd=tmp_path)
    assert done.returncode == 4
    assert [one["what"] for one in _json(done)["refused"]] == [str(paths[-2])]
    assert len(_json(done)["results"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "nowhere"),
        (("in", "--model", "none-such"), "classical"),
        (("in", "--roi", "("), "regular expression"),
        (("in", "--config", "none.toml"), "none.toml"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    _study(tmp_path / "in")
    done = _run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_that_cannot_be_written_ends_with_1_and_one_document(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    (tmp_path / "out").write_text("a file, not a folder")
    done = _run("in", "--json", "-o", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert _json(done) == {"results": [], "refused": [], "set_aside": []}
    assert "out" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {"GTV [/b] left[red]": [square(10, 8, 20, 16, 2.5)]})], tmp_path / "in")
    done = _run("in", "-o", "[bold]out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "GTV [/b] left[red]" in done.stdout
    assert "[bold]out" in done.stdout


def test_what_was_written_before_a_failure_stands_in_the_document(tmp_path: Path) -> None:
    for number in (1, 2):
        images = ct_series(SeriesInstanceUID=f"1.2.3.{number}", StudyInstanceUID=f"1.2.{number}")
        for index, image in enumerate(images):
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}.{index + 1}")
        drawn = rtstruct(images, {"Liver": [square(10, 8, 20, 16, 2.5)]})
        drawn.SOPInstanceUID = drawn.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}.9")
        save([*images, drawn], tmp_path / "in" / str(number))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.2.3.2-1").write_text("a file where a folder is wanted")
    done = _run("in", "--json", "-o", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert [result["series_uid"] for result in _json(done)["results"]] == ["1.2.3.1"]
    assert "failed" in done.stderr
    assert "1.2.3.2-1" in done.stderr


def test_notes_are_told_on_stderr(tmp_path: Path) -> None:
    images = [image for number, image in enumerate(ct_series(StudyInstanceUID="", SeriesInstanceUID="")) if number != 3]
    drawn = rtstruct(images, {"Liver": [square(10, 8, 20, 16, 2.5)]})
    drawn.StudyInstanceUID = "1.2.3"
    save([*images, drawn], tmp_path / "in")
    done = _run("in", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 images: MISSING_UID" in done.stderr
    assert "MISSING_SLICES 1" in done.stderr
