"""`dicomnode segment` as a user runs it: exit codes, and the JSON document."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.reading import voxels_of_seg

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
    expected = {"stack", "series_uid", "annotation_uid", "annotation_kind", "model", "made_with", "objects", "segments"}
    assert set(result) == {*expected, "seconds"}
    assert result["stack"] == f"{result['series_uid']}/1"
    assert (result["annotation_kind"], result["model"]) == ("RTSTRUCT", "box-unet")
    assert Path(result["objects"][0]["path"]).is_absolute()
    assert set(result["segments"][0]) == {
        "number",
        "label",
        "voxels",
        "volume_ml",
        "planes",
        "quality",
        "made_with",
        "nifti",
    }
    assert result["segments"][0]["made_with"] == {"strategy": "per-plane"}
    assert set(result["made_with"]) == {"weights", "engine", "device", "precision", "chosen"}
    assert 0 <= result["segments"][0]["quality"] <= 1
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


def test_every_result_is_a_file_and_pictures_of_a_series_are_told_in_one_line(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    done = _run("in", "--profile", "all", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = [line.rpartition("/")[2] for line in done.stdout.splitlines() if line.startswith("/")]
    kinds = [name.partition("_")[2] for name in told]
    assert kinds[:4] == ["SEG.dcm", "SR.dcm", "RTSTRUCT.dcm", "PR.dcm"]
    assert kinds[4].endswith("_SC-2.dcm, 2 pictures")
    assert len(kinds) == 5
    assert len(list((tmp_path / "segmentations").rglob("*.dcm"))) == 6


def test_the_seg_is_written_as_a_profile_of_the_settings_says(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    profile = '[[profiles]]\nname = "small"\nobjects = ["SEG"]\nseg = ["binary-deflated"]\n'
    (tmp_path / "dicomnode.toml").write_text(profile)
    done = _run("in", "--json", "--profile", "small", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (made,) = _json(done)["results"][0]["objects"]
    assert made["kind"] == "SEG"
    assert dcmread(made["path"]).file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "nowhere"),
        (("in", "--model", "none-such"), "classical"),
        (("in", "--profile", "viewer"), "found 'viewer'; allowed: one of: seg, results, planning, preview, all"),
        (("in", "--roi", "("), "regular expression"),
        (("in", "--margin", "-1"), "0 or more"),
        (("in", "--margin", "nan"), "0 or more"),
        (("in", "--propagate", "-1"), "is no number of planes"),
        (("in", "--window", "wide"), "window 'wide'"),
        (("in", "--strategy", "guess"), "guess"),
        (("in", "--box", "1.2@0:1,1,5"), "1.2@0:1,1,5: '1,1,5' are 3 numbers"),
        (("in", "--box", "nonsense"), "nonsense"),
        (("in", "--box", "1.2@0:nan,8,20,30"), "four finite numbers"),
        (("in", "--box", "1.2@0:20,8,20,30"), "x0 must be less than x1"),
        (("in", "--boxes", "none.json"), "none.json"),
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


def test_boxes_need_no_annotation(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    image = next((tmp_path / "in").glob("*.2.5.dcm"))
    done = _run(
        "in", "--json", "--box", f"{STUDY}.2@1-2:9.5,7.5,20.5,16.5", "--box", f"{image}@4:2,2,9,9", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (result,) = _json(done)["results"]
    assert result["annotation_kind"] == "BOXES"
    assert [(one["label"], one["planes"]) for one in result["segments"]] == [("Segment 1", 2), ("Segment 2", 1)]
    assert Path(result["objects"][0]["path"]).is_file()


def test_a_strategy_is_asked_for_on_the_command_line_and_in_the_settings(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    (tmp_path / "site.toml").write_text('[[model.rules]]\nmodality = ["CT"]\nstrategy = "triplanar-vote"\n')
    box = ("--box", f"{STUDY}.2@0-3:9.5,7.5,20.5,16.5")

    def strategy(*words: str) -> str:
        done = _run("in", "--json", *box, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (item,) = dcmread(_json(done)["results"][0]["objects"][0]["path"]).SegmentSequence
        said = item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
        parameters: dict[str, str] = dict(one.split("=") for one in said.split(","))
        return parameters["strategy"]

    assert strategy() == "three-view"  # what is best for the default model
    assert strategy("--model", "classical") == "static"
    assert strategy("--config", "site.toml") == "triplanar-vote"
    assert strategy("--config", "site.toml", "--strategy", "propagate") == "propagate"


def test_an_object_is_followed_beyond_its_plane_where_that_is_asked_for(tmp_path: Path) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {"Liver": [square(10, 8, 20, 16, 5.0)]})], tmp_path / "in")
    done = _run("in", "--json", "--propagate", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert _json(done)["results"][0]["segments"][0]["planes"] == 3
    assert "Liver: followed 1 planes above the drawn ones, from plane 2" in done.stderr


def test_a_box_that_means_nothing_here_is_refused_by_its_text(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    done = _run("in", "--json", "--box", f"{STUDY}.2@9:1,1,5,5", cwd=tmp_path)
    assert done.returncode == 4
    assert [(one["what"], one["reason"]) for one in _json(done)["refused"]] == [(f"{STUDY}.2@9:1,1,5,5", "BOX_OUTSIDE")]


def test_a_file_of_boxes_names_labels(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    box = {"sop_instance_uid": f"{STUDY}.2.3", "box": [2, 2, 9, 9], "label": "Niere li"}
    (tmp_path / "boxes.json").write_text(json.dumps({"boxes": [box]}))
    done = _run("in", "--json", "--boxes", "boxes.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = _json(done)["results"]
    assert [one["label"] for one in result["segments"]] == ["Niere li"]
    (described,) = dcmread(result["objects"][0]["path"]).SegmentSequence
    assert described.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Kidney"


def test_the_same_folder_twice_takes_results_for_prompts_only_when_asked(tmp_path: Path) -> None:
    _study(tmp_path)
    first = _json(_run(".", "--json", cwd=tmp_path))["results"]
    done = _run(".", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [one["objects"] for one in _json(done)["results"]] == [one["objects"] for one in first]
    assert [one["reason"] for one in _json(done)["set_aside"]] == ["OWN_RESULT"]
    done = _run(".", "--json", "--own-results", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [one["annotation_kind"] for one in _json(done)["results"]] == ["RTSTRUCT", "SEG"]
    assert _json(done)["results"][1]["annotation_uid"] == first[0]["objects"][0]["sop_instance_uid"]
    assert _json(done)["set_aside"] == []


def test_options_say_how_annotations_are_read(tmp_path: Path) -> None:
    images = ct_series()
    apart = [square(10, 8, 14, 12, 2.5), square(20, 16, 24, 20, 2.5), square(10, 8, 14, 12, 7.5)]
    save([*images, rtstruct(images, {"Liver": apart}, interpreted_type="EXTERNAL")], tmp_path / "in")
    assert _run("in", cwd=tmp_path).returncode == 3
    words = ("--roi-type", "external", "--split-components", "--no-interpolation")
    done = _run("in", "--json", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    segments = _json(done)["results"][0]["segments"]
    assert [(one["label"], one["planes"]) for one in segments] == [("Liver part 1", 2), ("Liver part 2", 1)]


def _meant(document: Any) -> set[tuple[str, str, bytes]]:  # noqa: ANN401 - a JSON document
    """Return name, code of the type and voxels in patient mm of each segment that `document` names."""
    found = set()
    for result in document["results"]:
        path = Path(result["objects"][0]["path"])
        voxels = voxels_of_seg(path)
        for one in dcmread(path).SegmentSequence:
            kind = one.SegmentedPropertyTypeCodeSequence[0].CodeValue
            name = one.SegmentLabel.partition(" #")[0]  # in one result the regions of several annotations are numbered
            found.add((name, kind, voxels[one.SegmentNumber].tobytes()))
    return found


def _there_and_back(folder: Path, *words: str | Path, cwd: Path) -> None:
    """Segment `folder` by its annotations, and by the prompts that `inspect` prints of them: the same comes out."""
    drawn = _run(folder, "--json", "-o", "drawn", *words, cwd=cwd)
    inspected = subprocess.run(
        [DICOMNODE, "inspect", str(folder), "--json", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    (cwd / "prompts.json").write_text(inspected.stdout)
    images = cwd / "images"
    images.mkdir()
    for path in folder.rglob("*"):
        if path.is_file() and dcmread(path, force=True).get("Modality") not in {"RTSTRUCT", "SEG", "SR", None}:
            (images / f"{len(list(images.iterdir()))}.dcm").symlink_to(path)
    fed = _run(images, "--json", "-o", "fed", "--boxes", "prompts.json", cwd=cwd)
    assert fed.returncode == 0, fed.stderr
    assert {one["annotation_kind"] for one in _json(fed)["results"]} == {"BOXES"}
    assert _meant(_json(fed)) == _meant(_json(drawn)) != set()


def test_what_inspect_prints_gives_the_masks_of_the_annotation(tmp_path: Path) -> None:
    images = ct_series()
    regions = {
        "Kidney_L": [square(10, 8, 20, 16, z) for z in (0.0, 5.0)],
        "GTV": [square(25, 18, 33, 27, 5.0)],
        "": [square(3, 18, 12, 29, 7.5)],
    }
    save([*images, rtstruct(images, regions)], tmp_path / "in")
    _there_and_back(tmp_path / "in", cwd=tmp_path)


@pytest.mark.data
@pytest.mark.parametrize("name", ["dcmqi", "rt_utils", "sts_raw_STS_001"])
def test_what_inspect_prints_of_real_annotations_gives_their_masks(name: str, data_dir: Path, tmp_path: Path) -> None:
    _there_and_back(data_dir / name, cwd=tmp_path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "plane", "box"),
    [
        ("CT_small", "0", "30,30,60,60"),
        ("examples_rgb_color", "0", "100,80,200,160"),
        ("examples_palette", "0", "300,80,400,160"),
        ("examples_ybr_color", "6", "100,80,200,160"),
    ],
)
def test_a_box_is_all_that_a_single_image_or_a_frame_needs(
    name: str, plane: str, box: str, data_dir: Path, tmp_path: Path
) -> None:
    path = data_dir / "pydicom_testfiles" / "data" / "test_files" / f"{name}.dcm"
    done = _run(path, "--json", "--box", f"{path}@{plane}:{box}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = _json(done)["results"]
    (segment,) = result["segments"]
    assert (segment["planes"], segment["volume_ml"] is None) == (1, name != "CT_small")
    assert segment["voxels"] > 100
    seg = dcmread(result["objects"][0]["path"])
    image = dcmread(path)
    (source,) = seg.SourceImageSequence if "SourceImageSequence" in seg else [image]
    if name == "examples_ybr_color":
        assert (source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber) == (image.SOPInstanceUID, 7)
    assert _json(done)["set_aside"] == []
