import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit

from dicomnode.dicom.pixels.decoders import Decoders, EncodedFrame
from dicomnode.errors import Reason, Refused, Unavailable
from tests.codecs import stored, texture
from tests.senders import until

PIXELS = texture((40, 48))
SEVERAL = 16


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with Decoders(1) as decoders:
        yield decoders


def encoded(pixels: NDArray[Any] = PIXELS) -> EncodedFrame:
    """Return `pixels`, (row, column) uint16, as JPEG 2000."""
    data = get_encoder(JPEG2000Lossless).encode(
        pixels,
        encoding_plugin="pylibjpeg",
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=16,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        number_of_frames=1,
    )
    return EncodedFrame(data=bytes(data), syntax=JPEG2000Lossless, image=stored(*pixels.shape))


def refusal(decoders: Decoders, frame: EncodedFrame) -> Refused:
    with pytest.raises(Refused) as caught:
        decoders.decode(frame, "image")
    return caught.value


def lives(pid: int) -> bool:
    """Return whether a process `pid` runs, which a zombie does not."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- processes ------------------------------------------------------------------------------------------------------


def test_no_child_is_started_before_there_is_a_frame(decoders: Decoders) -> None:
    assert decoders.pids() == ()
    np.testing.assert_array_equal(decoders.decode(encoded(), "image"), PIXELS)
    assert len(decoders.pids()) == 1


def test_one_thread_needs_one_child() -> None:
    with Decoders(4) as decoders:
        for _ in range(3):
            decoders.decode(encoded(), "image")
        assert len(decoders.pids()) == 1


def test_threads_share_the_children() -> None:
    frames = [encoded(texture((40, 48)) // (index + 1)) for index in range(SEVERAL)]
    with Decoders(2) as decoders, ThreadPoolExecutor(SEVERAL) as pool:
        decoded = list(pool.map(decoders.decode, frames, ["image"] * SEVERAL))
        assert 1 <= len(decoders.pids()) <= 2
    np.testing.assert_array_equal(decoded, [texture((40, 48)) // (index + 1) for index in range(SEVERAL)])


def test_the_children_are_gone_after_closing(decoders: Decoders) -> None:
    decoders.decode(encoded(), "image")
    (pid,) = decoders.pids()
    assert lives(pid)
    decoders.close()
    assert not lives(pid)
    with pytest.raises(Unavailable, match="closed"):
        decoders.decode(encoded(), "image")


def test_nothing_is_started_after_closing(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/program")  # whoever starts it is told that it cannot be
    decoders.close()
    with pytest.raises(Unavailable, match="closed"):
        decoders.decode(encoded(), "image")


WITHOUT_LIMITS = """
import signal, sys
sys.modules["resource"] = None
del signal.setitimer, signal.ITIMER_REAL
from dicomnode.dicom.pixels.decoder_process import main
main()
"""


def test_a_child_starts_where_the_system_has_no_limits() -> None:
    child = subprocess.run([sys.executable, "-P", "-c", WITHOUT_LIMITS], input=b"", capture_output=True, check=True)
    assert child.stdout == b"\0\0\0\x02{}"


PARENT = """
import sys, time
from dicomnode.dicom.pixels.decoders import Decoders
from tests.integration.test_decoders import encoded
decoders = Decoders(1)
decoders.decode(encoded(), "image")
print(*decoders.pids(), flush=True)
time.sleep(60)
"""


def test_the_children_end_when_the_parent_is_killed() -> None:
    checkout = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=checkout)
    with parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert lives(pid)
        parent.kill()
    until(lambda: not lives(pid))


def test_a_child_does_not_mind_an_interrupt_from_the_keyboard(decoders: Decoders) -> None:
    decoders.decode(encoded(), "image")
    before = decoders.pids()
    os.kill(before[0], signal.SIGINT)
    np.testing.assert_array_equal(decoders.decode(encoded(), "image"), PIXELS)
    assert decoders.pids() == before


def test_a_child_may_not_fill_memory_and_leaves_no_core(decoders: Decoders) -> None:
    decoders.decode(encoded(), "image")
    (pid,) = decoders.pids()
    assert resource.prlimit(pid, resource.RLIMIT_AS)[1] < 2 << 30
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)


# --- frames that cost a child ---------------------------------------------------------------------------------------


def held(decoders: Decoders, pool: ThreadPoolExecutor) -> tuple[int, Future[NDArray[Any]]]:
    """Start a frame on a child that has been stopped, and return the child and what becomes of the frame."""
    decoders.decode(encoded(), "image")
    (pid,) = decoders.pids()
    os.kill(pid, signal.SIGSTOP)
    return pid, pool.submit(decoders.decode, encoded(texture((600, 600))), "image")


def test_a_frame_that_ends_its_child_costs_only_itself(decoders: Decoders) -> None:
    with ThreadPoolExecutor(1) as pool:
        pid, frame = held(decoders, pool)
        (child,) = decoders._children  # noqa: SLF001 - nothing else tells that it has been asked
        until(lambda: not child.ready)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(Refused, match=r"TRUNCATED: its JPEG 2000 .* pixels took the decoder down"):
            frame.result(timeout=30)
    np.testing.assert_array_equal(decoders.decode(encoded(), "image"), PIXELS)
    assert pid not in decoders.pids()


def test_a_frame_that_does_not_end_costs_only_itself() -> None:
    with Decoders(1, frame_seconds=2.0) as decoders, ThreadPoolExecutor(1) as pool:
        pid, frame = held(decoders, pool)
        with pytest.raises(Refused, match=r"TRUNCATED: its JPEG 2000 .* pixels took longer than 2\.\d+ s"):
            frame.result(timeout=30)
        assert not lives(pid)
        np.testing.assert_array_equal(decoders.decode(encoded(), "image"), PIXELS)


def test_closing_does_not_wait_for_a_frame_that_does_not_end(decoders: Decoders) -> None:
    with ThreadPoolExecutor(1) as pool:
        _, frame = held(decoders, pool)
        until(frame.running)
        decoders.close()
        with pytest.raises(Unavailable, match="closed"):
            frame.result(timeout=30)


def test_a_child_that_died_while_it_waited_costs_no_frame(decoders: Decoders) -> None:
    decoders.decode(encoded(), "image")
    (pid,) = decoders.pids()
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    np.testing.assert_array_equal(decoders.decode(encoded(), "image"), PIXELS)


# --- what streams say -----------------------------------------------------------------------------------------------


def test_a_stream_of_another_shape_is_refused_though_it_has_as_many_numbers(decoders: Decoders) -> None:
    refused = refusal(decoders, replace(encoded(), image=stored(48, 40)))
    assert refused.reason is Reason.INVALID_HEADER
    assert "40 x 48 x 1 (rows, columns, samples), the header says 48 x 40 x 1" in refused.detail


def test_a_stream_that_promises_too_much_is_refused_before_it_is_decoded(decoders: Decoders) -> None:
    frame = encoded()
    size = (48).to_bytes(4, "big") + (40).to_bytes(4, "big")
    assert size in frame.data
    huge = frame.data.replace(size, b"\x7f\xff\xff\xff\x7f\xff\xff\xff", 1)
    assert refusal(decoders, replace(frame, data=huge)).reason is Reason.INVALID_HEADER


def test_a_broken_stream_leaves_the_child_alive(decoders: Decoders) -> None:
    frame = encoded()
    refused = refusal(decoders, replace(frame, data=frame.data[:200]))
    assert refused.reason is Reason.TRUNCATED
    before = decoders.pids()
    np.testing.assert_array_equal(decoders.decode(frame, "image"), PIXELS)
    assert decoders.pids() == before


def test_jpeg_of_twelve_bits_is_refused_by_name_whatever_the_header_says(decoders: Decoders) -> None:
    start = b"\xff\xd8\xff\xc1\x00\x0b\x0c\x00\x28\x00\x30\x01\x01\x11\x00"  # SOF1, 12 bits, 40 x 48
    for bits in (8, 16):
        frame = EncodedFrame(data=start, syntax=JPEGExtended12Bit, image=stored(40, 48, bits=bits))
        refused = refusal(decoders, frame)
        assert refused.reason is Reason.NO_DECODER
        assert refused.detail == f"no decoder for {JPEGExtended12Bit.name} ({JPEGExtended12Bit}) of 12 bits"


@pytest.mark.parametrize("allocated", [8, 16])
def test_jpeg_extended_of_eight_bits_is_decoded(decoders: Decoders, allocated: int) -> None:
    grey = np.full((40, 48), 77, "u1")
    frame = EncodedFrame(data=jpeg(grey), syntax=JPEGExtended12Bit, image=stored(40, 48, bits=allocated))
    decoded = decoders.decode(frame, "image")
    assert decoded.dtype.itemsize * 8 == allocated
    assert (decoded == 77).all()


def jpeg(pixels: NDArray[Any], *, keep_rgb: bool = False) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=100, subsampling=0, keep_rgb=keep_rgb)
    return file.getvalue()


def without_application_markers(data: bytes) -> bytes:
    """Return a JPEG that does not say what its colours are."""
    while data[2] == 0xFF and 0xE0 <= data[3] <= 0xEF:
        data = data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]
    return data


def adobe(data: bytes, transform: int) -> bytes:
    """Return a JPEG with the marker that says whether its colours were transformed (T.872 6.5.3)."""
    return data[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform]) + data[2:]


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("marker", ["JFIF", "Adobe", "Adobe and JFIF", "Adobe without transform"])
def test_the_colours_of_a_jpeg_are_what_its_markers_say(decoders: Decoders, photometric: str, marker: str) -> None:
    colours = np.zeros((40, 48, 3), "u1")
    colours[:20], colours[20:] = (200, 40, 40), (30, 60, 220)
    ybr = jpeg(colours)
    data = {
        "JFIF": ybr,
        "Adobe": adobe(without_application_markers(ybr), 1),
        "Adobe and JFIF": ybr[:20] + adobe(ybr[:2], 1)[2:] + ybr[20:],
        "Adobe without transform": adobe(without_application_markers(jpeg(colours, keep_rgb=True)), 0),
    }[marker]
    image = replace(stored(40, 48, bits=8), samples=3, photometric=photometric)
    decoded = decoders.decode(EncodedFrame(data=data, syntax=JPEGBaseline8Bit, image=image), "image")
    assert np.abs(decoded.astype(int) - colours).max() <= 3


@pytest.mark.parametrize(("photometric", "is_converted"), [("RGB", False), ("YBR_FULL_422", True)])
def test_the_header_says_what_the_colours_are_where_the_jpeg_does_not(
    decoders: Decoders, photometric: str, *, is_converted: bool
) -> None:
    colours = np.zeros((40, 48, 3), "u1")
    colours[:] = (200, 40, 40)
    data = without_application_markers(jpeg(colours))
    image = replace(stored(40, 48, bits=8), samples=3, photometric=photometric)
    decoded = decoders.decode(EncodedFrame(data=data, syntax=UID(JPEGBaseline8Bit), image=image), "image")
    assert (np.abs(decoded.astype(int) - colours).max() <= 3) == is_converted
