import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from pydicom import config, dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)

from dicomnode.describing import instances_of
from dicomnode.domain import IMPLEMENTATION_CLASS_UID, ImageInstance, OtherInstance, Uid
from dicomnode.errors import Reason
from dicomnode.network.listener import Listener
from dicomnode.network.part10 import StoreRequest
from dicomnode.store import arrivals
from dicomnode.store.events import events
from tests.builders import STUDY, ct_series, save
from tests.conftest import require_program
from tests.senders import Notes, Run, associate, data_set_of, elements, store, store_as, until


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_the_data_set_is_kept_as_it_was_received(start: Callable[..., Listener], tmp_path: Path, syntax: UID) -> None:
    (ds,) = ct_series(planes=1)
    (path,) = save([ds], tmp_path, syntax=syntax)
    notes = Notes()
    assoc = associate(start(notes.hooks()), syntax=syntax)
    assert int(assoc.send_c_store(path).Status) == 0
    assoc.release()
    ((request, data_set),) = notes.received
    content = path.read_bytes()
    assert data_set == content[144 + int.from_bytes(content[140:144], "little") :]
    assert request == StoreRequest(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid=syntax,  # type: ignore[arg-type]
        peer_ae="SENDER",
        association_id=1,
    )


def test_a_stored_instance_is_a_dicom_file_and_a_row(run: Run) -> None:
    (ds,) = ct_series(planes=1)
    assert store(run.listener, ds) == [0x0000]
    (file,) = run.files()
    content = file.read_bytes()
    assert content.endswith(data_set_of(ds))
    kept = dcmread(file)
    assert kept == ds
    assert str(kept.file_meta.ImplementationClassUID) == IMPLEMENTATION_CLASS_UID
    (instance,) = instances_of(run.desk, ds.StudyInstanceUID)
    assert instance.digest == blake3(content).hexdigest()
    assert instance.path == file


def test_an_image_whose_header_is_no_good_is_kept_all_the_same(run: Run) -> None:
    (ds,) = ct_series(planes=1)
    ds.ImageOrientationPatient = [1, 1, 0, 0, 1, 0]
    assert store(run.listener, ds) == [0x0000]
    (kept,) = instances_of(run.desk, Uid(STUDY))
    assert isinstance(kept, OtherInstance)
    assert kept.exclusion.reason is Reason.INVALID_HEADER


def test_a_duplicate_is_a_success_and_one_file(run: Run) -> None:
    (ds,) = ct_series(planes=1)
    assert store(run.listener, ds, ds) == [0x0000, 0x0000]
    assert store(run.listener, ds) == [0x0000]
    assert len(run.files()) == 1


def test_other_bytes_under_a_known_uid_are_kept_beside_the_first(run: Run) -> None:
    (first,), (second,) = ct_series(planes=1), ct_series(planes=1, KVP="80")
    assert store(run.listener, first, second) == [0x0000, 0x0000]
    assert {str(dcmread(file).KVP) for file in run.files()} == {"120", "80"}
    (used,) = instances_of(run.desk, first.StudyInstanceUID)
    assert str(dcmread(used.path).KVP) == "120"
    assert len(events(run.desk.database, "UID_CONFLICT")) == 1


def test_a_uid_that_is_a_path_is_refused_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    (ds,) = ct_series(planes=1)
    before = sorted(tmp_path.rglob("*.dcm"))
    with config.disable_value_validation():
        ds.SOPInstanceUID = "../../escaped"
        ds.file_meta.MediaStorageSOPInstanceUID = UID("../../escaped", validation_mode=config.IGNORE)
        assert store(run.listener, ds) == [0xC000]
    assert sorted(tmp_path.rglob("*.dcm")) == before
    assert not list(tmp_path.parent.rglob("*escaped*"))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_study_or_series_uid_that_is_a_path_is_refused(run: Run, keyword: str) -> None:
    with config.disable_value_validation():
        (ds,) = ct_series(planes=1, **elements(keyword, "../../escaped"))
        assert store(run.listener, ds) == [0xC000]
    assert run.files() == []


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_empty_study_or_series_uid_is_refused(run: Run, keyword: str) -> None:
    (ds,) = ct_series(planes=1, **elements(keyword, ""))
    assert store(run.listener, ds) == [0xC001]
    assert run.files() == []


def test_a_data_set_that_does_not_name_itself_is_refused(run: Run, tmp_path: Path) -> None:
    (ds,) = ct_series(planes=1)
    uid = ds.SOPInstanceUID
    del ds.SOPInstanceUID
    assert store_as(run.listener, uid, data_set_of(ds), tmp_path) == 0xC001
    assert run.files() == []


@pytest.mark.parametrize("changes", [{"SOPInstanceUID": f"{STUDY}.8"}, {"SOPClassUID": MRImageStorage}])
def test_a_data_set_that_is_not_what_the_command_says_is_refused(
    run: Run, tmp_path: Path, changes: dict[str, Any]
) -> None:
    (ds,) = ct_series(planes=1, **changes)
    assert store_as(run.listener, f"{STUDY}.2.1", data_set_of(ds), tmp_path) == 0xA900
    assert run.files() == []


@pytest.mark.parametrize("data_set", [b"this is no data set, whatever the syntax", b"\x08"])
def test_a_data_set_that_cannot_be_parsed_is_refused(run: Run, tmp_path: Path, data_set: bytes) -> None:
    assert store_as(run.listener, f"{STUDY}.2.1", data_set, tmp_path) in {0xC000, 0xC001}
    assert run.files() == []


def test_a_full_disk_is_told_and_the_association_stays_usable(run_on_a_full_disk: Run) -> None:
    first, second = ct_series(planes=2)
    assert store(run_on_a_full_disk.listener, first, second) == [0xA700, 0xA700]
    assert run_on_a_full_disk.files() == []
    assert arrivals.receiving(run_on_a_full_disk.desk.database) == ()


def test_several_senders_at_once_lose_nothing(run: Run) -> None:
    def send(sender: int) -> list[int]:
        images = ct_series(planes=10)
        for index, ds in enumerate(images):
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.5.{sender}.{index}")
        return store(run.listener, *images)

    with ThreadPoolExecutor(4) as senders:
        assert list(senders.map(send, range(1, 5))) == [[0x0000] * 10] * 4
    assert len(run.files()) == 40
    until(lambda: arrivals.receiving(run.desk.database)[0].open_associations == 0)
    assert len(instances_of(run.desk, Uid(STUDY))) == 40


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_an_image_is_indexed_whatever_its_syntax(run: Run, tmp_path: Path, syntax: UID) -> None:
    (path,) = save(ct_series(planes=1), tmp_path / "sent", syntax=syntax)
    assoc = associate(run.listener, syntax=syntax)
    assert int(assoc.send_c_store(path).Status) == 0x0000
    assoc.release()
    (found,) = instances_of(run.desk, Uid(STUDY))
    assert isinstance(found, ImageInstance)
    assert dcmread(found.path).file_meta.TransferSyntaxUID == syntax


def test_a_database_that_cannot_be_written_is_told_as_no_room(run: Run, tmp_path: Path) -> None:
    (first, second) = ct_series(planes=2)
    assoc = associate(run.listener)
    assert int(assoc.send_c_store(first).Status) == 0x0000
    run.desk.database.close()
    database = tmp_path / "node.sqlite"
    for file in tmp_path.glob("node.sqlite*"):
        file.rename(tmp_path / f"away {file.name}")
    database.mkdir()
    assert int(assoc.send_c_store(second).Status) == 0xA700
    database.rmdir()
    for file in tmp_path.glob("away *"):
        file.rename(tmp_path / file.name.removeprefix("away "))
    assert int(assoc.send_c_store(second).Status) == 0x0000
    assoc.release()


@pytest.mark.peer
def test_storescu_is_answered_for_each_file_of_a_folder(run: Run, tmp_path: Path) -> None:
    program = require_program("storescu")
    save(ct_series(planes=5), tmp_path / "sent")
    subprocess.run(
        [program, "-aec", "NODE", "+sd", "127.0.0.1", str(run.listener.port), str(tmp_path / "sent")],
        check=True,
        timeout=30,
    )
    assert len(run.files()) == 5
