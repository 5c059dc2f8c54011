"""Finding instances in folders: nesting, names, files that are none, and files without study and series UIDs."""

import os
from pathlib import Path

from dicomnode.dicom.files import files_in
from dicomnode.dicom.scan import scan
from dicomnode.domain import ImageInstance
from dicomnode.errors import Reason
from tests.builders import ct_series, save


def test_images_are_found_in_any_nesting_and_under_any_name(tmp_path: Path) -> None:
    for number, path in enumerate(save(ct_series(planes=3), tmp_path / "flat")):
        nested = tmp_path / "study" / f"level {number}"
        nested.mkdir(parents=True)
        path.rename(nested / f"IM{number}")
    instances, exclusions = scan([tmp_path])
    assert len(instances) == 3
    assert not exclusions


def test_a_file_that_is_named_twice_or_linked_is_read_once(tmp_path: Path) -> None:
    path = save(ct_series(planes=1), tmp_path)[0]
    (tmp_path / "link").symlink_to(path)
    assert len(list(files_in([tmp_path, path, tmp_path]))) == 1


def test_what_is_no_dicom_is_set_aside_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "empty").touch()
    _, exclusions = scan([tmp_path])
    assert {Path(one.what).name: one.reason for one in exclusions} == {
        "notes.txt": Reason.NOT_DICOM,
        "empty": Reason.NOT_DICOM,
    }


def test_a_truncated_header_is_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    paths = save(ct_series(planes=3), tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:700])
    instances, exclusions = scan([tmp_path])
    assert len(instances) == 2
    assert [(Path(one.what), one.reason) for one in exclusions] == [(paths[1], Reason.TRUNCATED)]


def test_files_without_study_and_series_uids_become_one_series_a_folder_with_a_note(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        images = ct_series(planes=2, StudyInstanceUID="", SeriesInstanceUID="")
        for image in images:
            image.SOPInstanceUID += "1" if folder == "a" else "2"
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        save(images, tmp_path / folder)
    images_found = [one for one in scan([tmp_path])[0] if isinstance(one, ImageInstance)]
    assert len({one.series_uid for one in images_found}) == len({one.study_uid for one in images_found}) == 2
    assert all("MISSING_UID" in one.notes[-1] for one in images_found)


def test_derived_uids_do_not_depend_on_names_or_order(tmp_path: Path) -> None:
    for folder, names in (("a", ("1", "2")), ("b", ("2", "1"))):
        paths = save(ct_series(planes=2, StudyInstanceUID="", SeriesInstanceUID=""), tmp_path / folder)
        for path, name in zip(paths, names, strict=True):
            path.rename(path.with_name(name))
    first, second = ({one.series_uid for one in scan([tmp_path / folder])[0]} for folder in ("a", "b"))
    assert first == second


def test_what_is_no_file_is_refused_by_name(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    _, exclusions = scan([pipe])
    assert [(one.what, one.reason) for one in exclusions] == [(str(pipe), Reason.UNREADABLE)]
