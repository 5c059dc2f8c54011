"""`dicomnode inspect` as a user runs it: exit codes, the JSON document, the table and the pictures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dicomnode.dicom.prompts.written_files import parse_boxes_file
from dicomnode.domain import PlaneKey, Uid
from tests import sr_objects as srs
from tests.builders import STUDY, ct_series, rtstruct, save, square

DICOMNODE = Path(sys.executable).parent / "dicomnode"


def _run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [DICOMNODE, "inspect", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def _json(done: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401 - a JSON document
    return json.loads(done.stdout)


def test_the_json_document_says_where_every_plane_lies(tmp_path: Path) -> None:
    save(ct_series(planes=2, spacing=(0.5, 0.75), origin=(-10.0, -20.0, 30.0)), tmp_path / "in")
    done = _run("in", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert _json(done) == {
        "stacks": [
            {
                "stack": f"{STUDY}.2/1",
                "series_uid": f"{STUDY}.2",
                "modality": "CT",
                "kind": "CT",
                "split": {},
                "facts": ["REGULAR"],
                "shape": [2, 32, 40],
                "spacing": [2.5, 0.5, 0.75],
                "planes": [
                    {"sop_instance_uid": f"{STUDY}.2.1", "frame": None, "position": [-10, -20, 30]},
                    {"sop_instance_uid": f"{STUDY}.2.2", "frame": None, "position": [-10, -20, 32.5]},
                ],
                "orientation": [1, 0, 0, 0, 1, 0],
                "affine": [[0.75, 0, 0, -10], [0, 0.5, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]],
                "notes": [],
            }
        ],
        "prompts": [],
        "refused": [],
        "set_aside": [],
    }


def test_two_stacks_at_one_place_say_what_tells_them_apart(tmp_path: Path) -> None:
    first = ct_series(planes=3, AcquisitionNumber=1)
    second = ct_series(planes=6, AcquisitionNumber=2)[3:]
    for image, like in zip(second, first, strict=True):
        image.ImagePositionPatient = like.ImagePositionPatient
    save([*first, *second], tmp_path / "in")
    done = _run("in", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    stacks = _json(done)["stacks"]
    assert [one["stack"] for one in stacks] == [f"{STUDY}.2/1", f"{STUDY}.2/2"]
    assert [one["split"] for one in stacks] == [{"AcquisitionNumber": "1"}, {"AcquisitionNumber": "2"}]
    assert "AcquisitionNumber 2" in " ".join(done.stderr.split())


def test_the_table_names_stacks_and_annotations_and_nothing_is_written(tmp_path: Path) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {"Liver": [square(10, 8, 20, 16, 2.5)]})], tmp_path / "in")
    done = _run("in", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "5 x 32 x 40" in done.stdout
    assert "REGULAR" in done.stdout
    assert (
        "annotation  RTSTRUCT ...98.1.3.1 means CT ....498.1.2/1 by images: 1 of its 1 image references" in done.stdout
    )
    assert "  prompt  Liver: boxes on plane 1\n" in done.stdout
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


def test_the_json_document_has_every_prompt_with_its_boxes_and_codes(tmp_path: Path) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {"Lt Kidney": [square(10, 8, 20, 16, z) for z in (0.0, 5.0)]})], tmp_path / "in")
    done = _run("in", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (prompt,) = _json(done)["prompts"]
    assert ["interpolated" in note for note in prompt.pop("notes")] == [True]
    assert prompt == {
        "annotation_uid": f"{STUDY}.3.1",
        "kind": "RTSTRUCT",
        "item": "1",
        "label": "Lt Kidney",
        "stack": f"{STUDY}.2/1",
        "series_uid": f"{STUDY}.2",
        "paired_by": "images",
        "boxes": [
            {"sop_instance_uid": f"{STUDY}.2.{number}", "frame": None, "box": [10, 8, 20, 16]} for number in (1, 2, 3)
        ],
        "points": [],
        "codes": {
            "category": {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"},
            "type": {"value": "64033007", "scheme": "SCT", "meaning": "Kidney"},
            "modifiers": [{"value": "7771000", "scheme": "SCT", "meaning": "Left"}],
            "sites": [],
        },
    }


def test_points_are_told_and_can_be_read_as_boxes_are(tmp_path: Path) -> None:
    images = ct_series()
    uid = images[2].SOPInstanceUID
    shown = srs.scoord(
        "POINT", [(12.5, 8.0)], srs.image(uid), name=("111030", "DCM", "Image Region"), relationship="CONTAINS"
    )
    save([*images, srs.report(srs.group(*srs.tracked("Lesion 1"), shown))], tmp_path / "in")
    done = _run("in", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (prompt,) = _json(done)["prompts"]
    assert (prompt["kind"], prompt["boxes"]) == ("SR", [])
    assert prompt["points"] == [{"sop_instance_uid": uid, "frame": None, "point": [12.0, 7.5]}]
    assert "  prompt  Lesion 1: points on plane 2" in done.stderr
    (tmp_path / "prompts.json").write_text(done.stdout)
    (written,) = parse_boxes_file(tmp_path / "prompts.json")
    assert [(one.plane, one.point) for one in written.points] == [(PlaneKey(Uid(uid)), (12.0, 7.5))]


def test_prompts_are_read_as_options_and_settings_say(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"Liver": [square(10, 8, 20, 16, 0.0)], "Node": [square(10, 8, 20, 16, 5.0)]})
    save([*images, drawn], tmp_path / "in")
    (tmp_path / "site.toml").write_text("[prompts]\nmargin_mm = 2\nroi = 'node'\n")
    of_settings = _json(_run("in", "--json", "--config", "site.toml", cwd=tmp_path))["prompts"]
    assert [(one["label"], one["boxes"][0]["box"]) for one in of_settings] == [("Node", [8, 6, 22, 18])]
    words = ("--config", "site.toml", "--roi", "1", "--margin", "0")
    (prompt,) = _json(_run("in", "--json", *words, cwd=tmp_path))["prompts"]
    assert (prompt["label"], prompt["boxes"][0]["box"]) == ("Liver", [10, 8, 20, 16])


def test_a_prompt_on_several_planes_is_told_in_ranges(tmp_path: Path) -> None:
    images = ct_series()
    drawn = [square(10, 8, 20, 16, z) for z in (0.0, 2.5, 5.0, 10.0)]
    save([*images, rtstruct(images, {"[b]Liver": drawn})], tmp_path / "in")
    done = _run("in", "--no-interpolation", cwd=tmp_path)
    assert "  prompt  [b]Liver: boxes on planes 0-2, 4\n" in done.stdout


@pytest.mark.parametrize(("words", "folder"), [((), "inspection"), (("--output", "pictures"), "pictures")])
def test_a_picture_of_each_stack_is_written(tmp_path: Path, words: tuple[str, ...], folder: str) -> None:
    save(ct_series(), tmp_path / "in")
    done = _run("in", "--preview", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (picture,) = (tmp_path / folder).iterdir()
    assert str(picture) in done.stdout
    with Image.open(picture) as opened:
        assert opened.width > opened.height > 300


def test_a_file_that_is_cut_off_ends_with_4_and_is_named(tmp_path: Path) -> None:
    paths = save(ct_series(), tmp_path / "in")
    paths[-1].write_bytes(paths[-1].read_bytes()[:-100])
    done = _run("in", "--json", cwd=tmp_path)
    assert done.returncode == 4
    assert [(one["what"], one["reason"]) for one in _json(done)["refused"]] == [(str(paths[-1]), "TRUNCATED")]
    assert [one["shape"] for one in _json(done)["stacks"]] == [[4, 32, 40]]


def test_a_folder_without_images_ends_with_3_and_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    done = _run("in", "--json", cwd=tmp_path)
    assert done.returncode == 3
    assert [one["reason"] for one in _json(done)["set_aside"]] == ["NOT_DICOM"]
    assert "Found no images that make a stack" in done.stderr


def test_a_path_that_is_not_there_ends_with_2(tmp_path: Path) -> None:
    assert _run("nowhere", cwd=tmp_path).returncode == 2


def test_pictures_that_cannot_be_written_end_with_1_and_one_document(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    (tmp_path / "out").write_text("a file, not a folder")
    done = _run("in", "--json", "--preview", "--output", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert len(_json(done)["stacks"]) == 1
    assert "failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_equal_lines_are_one_with_a_count(tmp_path: Path) -> None:
    save(ct_series(planes=30, shape=(8, 8), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path / "in")
    done = _run("in", "--json", cwd=tmp_path)
    assert len(_json(done)["set_aside"]) == 30
    assert "set aside: 30" in done.stderr
    assert done.stderr.count("LOCALIZER  ") == 1
    assert "and 29 more like it" in done.stderr


@pytest.mark.data
def test_the_frames_of_a_film_are_named_and_have_no_place(data_dir: Path, tmp_path: Path) -> None:
    film = data_dir / "pydicom_testfiles" / "data" / "test_files" / "examples_ybr_color.dcm"
    done = _run(film, "--json", "--preview", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = _json(done)
    (stack,) = document["stacks"]
    assert (stack["modality"], stack["kind"]) == ("US", "Ultrasound Multi-frame")
    assert (stack["facts"], stack["shape"]) == (["CINE", "NO_FRAME_OF_REFERENCE"], [30, 240, 320])
    assert [(one["frame"], one["position"]) for one in stack["planes"]] == [(number, None) for number in range(1, 31)]
    assert (stack["orientation"], stack["affine"], stack["spacing"][0]) == (None, None, None)
    assert [one["reason"] for one in document["set_aside"]] == ["UNSUPPORTED_CINE"]


@pytest.mark.data
def test_a_tilted_and_uneven_scan_has_positions_and_no_matrix(data_dir: Path, tmp_path: Path) -> None:
    done = _run(data_dir / "dcm_qa_ct_variable_and_plain", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    uneven, plain = sorted(_json(done)["stacks"], key=lambda one: len(one["facts"]), reverse=True)
    assert (uneven["facts"], uneven["affine"], uneven["spacing"][0]) == (["IRREGULAR", "SHEARED"], None, None)
    heights = [one["position"][2] for one in uneven["planes"]]
    assert heights == sorted(heights)
    assert (plain["facts"], plain["spacing"][0]) == (["REGULAR"], pytest.approx(5))
    first, last = plain["planes"][0]["position"], plain["planes"][-1]["position"]
    offset = [row[3] for row in plain["affine"][:3]]
    assert [value + 27 * row[2] for value, row in zip(offset, plain["affine"], strict=False)] == pytest.approx(last)
    assert offset == first
