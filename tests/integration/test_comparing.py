"""The same object in another encoding is a duplicate; anything else under its UID is a conflict."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.pixels.encoders.base import get_encoder
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicomnode import comparing
from dicomnode.comparing import settle_conflicts
from dicomnode.describing import instances_of
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.sameness import is_same
from dicomnode.errors import Refused
from dicomnode.store import conflicts
from dicomnode.store.events import events
from tests.builders import ct_series, rtstruct, square
from tests.codecs import image, texture, write, write_encoded
from tests.inbox import Inbox, inbox


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    with Decoders(1) as decoders:
        yield decoders


def grey() -> Dataset:
    ds = image(texture((64, 48)), PatientName="Yamada^Tarou=山田^太郎", SpecificCharacterSet="ISO_IR 192")
    ds.private_block(0x0011, "MAKER", create=True).add_new(0x01, "LO", "private words")
    ds.RescaleSlope, ds.RescaleIntercept = "1.50", "-1024"
    item = Dataset()
    item.ReferencedSOPInstanceUID, item.ReferencedFrameNumber = "1.2.3", 4
    ds.SourceImageSequence = Sequence([item])
    ds.SmallestImagePixelValue = 0
    return ds


def compressed(ds: Dataset, path: Path, syntax: str, **options: Any) -> Path:  # noqa: ANN401 - the encoder's
    """Write `ds` with its only frame compressed."""
    encoder = get_encoder(syntax)
    frames = [encoder.encode(ds, index=0, **options)]
    return write_encoded(deepcopy(ds), path, syntax, frames)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_an_object_is_the_same_in_every_native_syntax(tmp_path: Path, decoders: Decoders, syntax: str) -> None:
    ds = rtstruct(ct_series(), {"liver": [square(10, 8, 20, 16, 2.5)]})
    one, other = write(deepcopy(ds), tmp_path / "one"), write(deepcopy(ds), tmp_path / "other", syntax)
    assert is_same(one, other, decoders)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_an_image_is_the_same_in_another_native_syntax(tmp_path: Path, decoders: Decoders, syntax: str) -> None:
    one, other = write(grey(), tmp_path / "one"), write(grey(), tmp_path / "other", syntax)
    assert is_same(one, other, decoders)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_an_image_is_the_same_where_it_is_compressed_without_loss(
    tmp_path: Path, decoders: Decoders, syntax: str
) -> None:
    one, other = write(grey(), tmp_path / "one"), compressed(grey(), tmp_path / "other", syntax)
    assert is_same(one, other, decoders)
    assert is_same(other, one, decoders)


def test_an_image_that_lost_something_is_another_one(tmp_path: Path, decoders: Decoders) -> None:
    one = write(grey(), tmp_path / "one")
    other = compressed(grey(), tmp_path / "other", JPEG2000, j2k_cr=[10])
    assert not is_same(one, other, decoders)


def moved(ds: Dataset) -> None:
    ds.RescaleIntercept = "-1023"


def deeper(ds: Dataset) -> None:
    ds.SourceImageSequence[0].ReferencedFrameNumber = 5


def more(ds: Dataset) -> None:
    ds.PatientComments = "one more"


def less(ds: Dataset) -> None:
    del ds.PatientName


def privately(ds: Dataset) -> None:
    ds.private_block(0x0011, "MAKER")[0x01].value = "other words"


def brighter(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[:-1] + bytes([ds.PixelData[-1] ^ 1])


def pictureless(ds: Dataset) -> None:
    del ds.PixelData


@pytest.mark.parametrize("change", [moved, deeper, more, less, privately, brighter, pictureless])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_differs_in_an_element_or_a_pixel_is_another_object(
    tmp_path: Path, decoders: Decoders, change: Callable[[Dataset], None], syntax: str
) -> None:
    changed = grey()
    change(changed)
    assert not is_same(write(grey(), tmp_path / "one"), write(changed, tmp_path / "other", syntax), decoders)


def test_colours_that_are_decoded_with_loss_are_not_said_to_be_the_same(tmp_path: Path, decoders: Decoders) -> None:
    ybr = image(texture((12, 10, 3), "u1"), PhotometricInterpretation="YBR_FULL")
    one, other = write(deepcopy(ybr), tmp_path / "one"), write(ybr, tmp_path / "other", ImplicitVRLittleEndian)
    assert not is_same(one, other, decoders)
    rgb = image(texture((12, 10, 3), "u1"))
    one, other = write(deepcopy(rgb), tmp_path / "one"), compressed(rgb, tmp_path / "other", RLELossless)
    assert is_same(one, other, decoders)


def test_what_cannot_be_read_is_refused(tmp_path: Path, decoders: Decoders) -> None:
    one = write(grey(), tmp_path / "one")
    (tmp_path / "cut").write_bytes(one.read_bytes()[:400])
    with pytest.raises(Refused, match="TRUNCATED"):
        is_same(one, tmp_path / "cut", decoders)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Inbox]:
    with inbox(tmp_path) as box:
        yield box


@pytest.mark.parametrize("same", [True, False])
def test_a_uid_in_another_syntax_is_settled_after_it_was_kept(box: Inbox, *, same: bool) -> None:
    ds = ct_series(planes=1)[0]
    box.send(ds)
    again = deepcopy(ds)
    if not same:
        again.PatientComments = "other words"
    box.put(box.open(), again, syntax=ImplicitVRLittleEndian)
    (found,) = conflicts.not_compared(box.desk.database, 10)
    assert found.sop_uid == ds.SOPInstanceUID
    settle_conflicts(box.desk)
    settle_conflicts(box.desk)
    assert conflicts.not_compared(box.desk.database, 10) == ()
    (event,) = events(box.desk.database, "conflict_settled")
    assert event.details["same"] is same
    assert len(instances_of(box.desk, box.study().study_uid)) == 1


def test_what_cannot_be_compared_stays_a_conflict(box: Inbox) -> None:
    ds = ct_series(planes=1)[0]
    box.send(ds)
    box.put(box.open(), ds, syntax=ImplicitVRLittleEndian)
    (found,) = conflicts.not_compared(box.desk.database, 10)
    box.desk.spool.delete(found.key)
    settle_conflicts(box.desk)
    (event,) = events(box.desk.database, "conflict_settled")
    assert (event.details["same"], "cannot be compared" in event.details["why"]) == (False, True)


def test_a_mistake_that_two_objects_bring_out_ends_no_more_than_their_comparison(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(comparing, "is_same", fails)
    ds = ct_series(planes=1)[0]
    box.send(ds)
    box.put(box.open(), ds, syntax=ImplicitVRLittleEndian)
    settle_conflicts(box.desk)
    (event,) = events(box.desk.database, "conflict_settled")
    assert (event.details["same"], "by a bug: ZeroDivisionError" in event.details["why"]) == (False, True)
