"""What comes over the wire, by every transfer syntax, from real programs, and onto a disk that is full."""

import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID, CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES

from tests.builders import STUDY, ct_series, save
from tests.conftest import require_program, without
from tests.serving import Serving, serving, until
from tests.wire import ACCEPTED, Wire

# what storescu is told so that it proposes a syntax, and dcmdjpeg and its like are not needed for
PROPOSE = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.100": "-xm",
    "1.2.840.10008.1.2.4.101": "-xh",
    "1.2.840.10008.1.2.4.102": "-xn",
    "1.2.840.10008.1.2.4.103": "-xl",
    "1.2.840.10008.1.2.5": "-xr",
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    node = serving(tmp_path_factory.mktemp("node"), quiet_seconds=3600)
    with node.running():
        yield node


def image(number: int, syntax: str) -> tuple[str, bytes]:
    """Return an image whose data set is in `syntax`, its pixels as good as any to a node that does not decode them."""
    (ds,) = ct_series(planes=1)
    uid = f"{STUDY}.62.{number}"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    if UID(syntax).is_encapsulated:
        ds.PixelData = encapsulate([b"\xff\xd8 no pixels \xff\xd9" * 10])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    return uid, _encoded(ds, UID(syntax))


def _encoded(ds: Dataset, syntax: UID) -> bytes:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    write_dataset(file, ds)
    content = file.getvalue()
    if syntax == DeflatedExplicitVRLittleEndian:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = deflater.compress(content) + deflater.flush()
        content += b"\0" * (len(content) % 2)
    return content


def kept(node: Serving, uid: str) -> Path:
    (file,) = (node.folder / "data" / "spool" / "studies").rglob(f"{uid}-*.dcm")
    return file


def test_what_is_sent_in_any_transfer_syntax_is_kept_bit_by_bit(node: Serving) -> None:
    assert len(ALL_TRANSFER_SYNTAXES) >= 45
    for number, syntax in enumerate(ALL_TRANSFER_SYNTAXES):
        uid, data_set = image(number, syntax)
        with Wire(node.port) as wire:
            assert wire.associate((CTImageStorage, [syntax]), called="DICOMNODE")[0] == ACCEPTED
            assert (syntax, wire.store(uid, data_set)) == (syntax, 0x0000)
            wire.release()
        content = kept(node, uid).read_bytes()
        assert content[144 + int.from_bytes(content[140:144], "little") :] == data_set
        assert dcmread(DicomBytesIO(content), stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
    until(lambda: _kinds(node) == ["image"], 10)


def _kinds(node: Serving) -> list[str]:
    with node.database() as database, database.read() as connection:
        return list(connection.exec_driver_sql("SELECT DISTINCT kind FROM instance").scalars())


@pytest.mark.peer
@pytest.mark.parametrize("syntax", PROPOSE)
def test_what_storescu_sends_in_a_transfer_syntax_is_kept_in_it(node: Serving, tmp_path: Path, syntax: str) -> None:
    number = 100 + list(PROPOSE).index(syntax)
    uid, data_set = image(number, syntax)
    path = tmp_path / "sent.dcm"
    path.write_bytes(_meta(uid, syntax) + data_set)
    command = [
        require_program("storescu"),
        PROPOSE[syntax],
        "-aec",
        "DICOMNODE",
        "127.0.0.1",
        str(node.port),
        str(path),
    ]
    subprocess.run(command, check=True, timeout=30)
    received = dcmread(kept(node, uid))
    assert received.file_meta.TransferSyntaxUID == syntax
    assert received == dcmread(path)


def _meta(uid: str, syntax: str) -> bytes:
    meta, file = FileMetaDataset(), DicomBytesIO()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, UID(uid)
    meta.TransferSyntaxUID, meta.ImplementationClassUID = UID(syntax), UID("1.2.3")
    write_file_meta_info(file, meta)
    return b"\0" * 128 + b"DICM" + file.getvalue()


@pytest.mark.peer
def test_a_caller_of_another_node_is_told_so(node: Serving, tmp_path: Path) -> None:
    (path,) = save(ct_series(planes=1), tmp_path)
    command = [require_program("storescu"), "-aec", "ANOTHER", "127.0.0.1", str(node.port), str(path)]
    done = subprocess.run(command, check=False, timeout=30, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Called AE Title Not Recognized" in done.stdout + done.stderr
    assert "association_rejected" in node.log


def test_on_a_disk_without_room_objects_are_put_off_and_nothing_is_left(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    command = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", "size=12m", "none", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        without("it takes root to mount a small disk")
    try:
        _fill(place)
    finally:
        subprocess.run([shutil.which("umount") or "umount", "-l", place], check=True)


def _fill(place: Path) -> None:
    """Send to a node on the disk at `place` until that is full, and again when there is room."""
    node = serving(place, quiet_seconds=3600, more="[storage]\nstop_free_gib = 0.0")
    (large,) = ct_series(planes=1, shape=(1024, 1024))
    with node.running(), Wire(node.port, timeout=30) as wire:
        wire.associate(called="DICOMNODE")
        statuses = []
        for number in range(12):
            large.SOPInstanceUID = UID(f"{STUDY}.72.{number}")
            statuses.append(wire.store(str(large.SOPInstanceUID), _encoded(large, UID("1.2.840.10008.1.2.1"))))
        assert set(statuses) == {0x0000, 0xA700}
        assert statuses[0] == 0x0000
        spool = place / "data" / "spool"
        assert list((spool / "incoming").iterdir()) == []
        files = list((spool / "studies").rglob("*.dcm"))
        assert len(files) >= statuses.count(0)
        uid = f"{STUDY}.72.{statuses.index(0xA700)}"
        files[0].unlink()
        files[1].unlink()
        large.SOPInstanceUID = UID(uid)
        assert wire.store(uid, _encoded(large, UID("1.2.840.10008.1.2.1"))) == 0x0000
        wire.release()
