import struct
import zlib
from io import BytesIO

import pytest

from dicomnode.dicom.inflating import Inflated, inflate
from dicomnode.dicom.pixels.codestream import read_jpeg, read_jpeg_2000
from dicomnode.dicom.pixels.encapsulated import find_frames, read_frame
from dicomnode.errors import Reason, Refused

SOF_LOSSLESS = b"\xff\xc3\x00\x0b\x10\x00\x28\x00\x30\x01\x01\x11\x00"  # 16 bits, 40 rows, 48 columns, 1 component
ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"
SOS = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00"


def test_a_jpeg_stream_tells_its_size_and_precision() -> None:
    stream = read_jpeg(b"\xff\xd8\xff\xfe\x00\x04hi" + SOF_LOSSLESS + SOS)
    assert (stream.rows, stream.columns, stream.samples, stream.precision, stream.adobe) == (40, 48, 1, 16, False)


@pytest.mark.parametrize("parts", [(ADOBE, SOF_LOSSLESS), (SOF_LOSSLESS, ADOBE), (b"\xff\xff", ADOBE, SOF_LOSSLESS)])
def test_the_adobe_marker_is_seen_wherever_it_stands(parts: tuple[bytes, ...]) -> None:
    assert read_jpeg(b"\xff\xd8" + b"".join(parts) + SOS).adobe


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8" + SOS, b"\xff\xd8" + SOF_LOSSLESS[:6], b"\xff" * 50])
def test_a_jpeg_stream_without_a_frame_header_is_an_error(data: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        read_jpeg(data)


def test_a_jpeg_2000_stream_tells_its_size_without_its_offset() -> None:
    size = struct.pack(">HH8IHB", 41, 0, 58, 45, 10, 5, 58, 45, 0, 0, 3, 0x80 | 11)
    stream = read_jpeg_2000(b"a JP2 box" + b"\xff\x4f\xff\x51" + size)
    assert (stream.rows, stream.columns, stream.samples, stream.precision) == (40, 48, 3, 12)


def items(*values: bytes) -> bytes:
    return b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(value)) + value for value in values)


def frames_in(data: bytes, count: int) -> list[bytes | None]:
    file = BytesIO(data)
    return [read_frame(file, frame) for frame in find_frames(file, count, "image")]


def test_one_frame_has_all_the_fragments() -> None:
    assert frames_in(items(b"", b"ab", b"cd", b"ef"), 1) == [b"abcdef"]


def test_as_many_fragments_as_frames_are_the_frames() -> None:
    assert frames_in(items(b"", b"ab", b"cd"), 2) == [b"ab", b"cd"]


def test_the_offset_table_tells_which_fragments_make_a_frame() -> None:
    table = struct.pack("<2I", 0, 20)
    assert frames_in(items(table, b"ab", b"cd", b"ef"), 2) == [b"abcd", b"ef"]


def test_an_offset_table_that_points_nowhere_is_not_believed() -> None:
    assert frames_in(items(struct.pack("<2I", 0, 7), b"ab", b"cd"), 2) == [b"ab", b"cd"]


def test_the_end_of_an_image_ends_a_frame_where_there_is_no_table() -> None:
    end = b"\xff\xd9"
    assert frames_in(items(b"", b"ab", b"c" + end, b"de" + end + b"\0"), 2) == [b"abc" + end, b"de" + end + b"\0"]


def test_a_fragment_that_is_cut_off_is_no_frame() -> None:
    assert frames_in(items(b"", b"ab", b"cdef")[:-2], 2) == [b"ab", None]
    table = struct.pack("<3I", 0, 10, 20)
    assert frames_in(items(table, b"ab", b"cd"), 3) == [b"ab", b"cd", b""]


def test_pixel_data_without_items_are_refused() -> None:
    with pytest.raises(Refused) as caught:
        find_frames(BytesIO(b"\0" * 100), 1, "image")
    assert caught.value.reason is Reason.TRUNCATED


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def test_an_inflated_stream_reads_like_a_file() -> None:
    data = bytes(range(256)) * 1000
    stream = Inflated(BytesIO(deflated(data)), "image", prefix=b"head")
    assert (stream.read(6), stream.tell()) == (b"head\x00\x01", 6)
    assert (stream.seek(-2, 1), stream.read(3)) == (4, b"\x00\x01\x02")
    assert stream.seek(0, 2) == len(data) + 4
    assert stream.read(1) == b""
    stream.seek(0)
    assert stream.read() == b"head" + data


def test_a_deflated_stream_that_is_cut_off_ends_there() -> None:
    whole = deflated(bytes(range(256)) * 1000)
    stream = Inflated(BytesIO(whole[: len(whole) // 2]), "image", prefix=b"")
    assert 0 < len(stream.read()) < 256_000


def test_a_deflated_frame_gives_no_more_than_it_should() -> None:
    assert inflate(deflated(bytes(1000)), 10) == bytes(10)
