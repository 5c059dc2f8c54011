import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import encapsulate_extended
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    MPEG4HP41,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicomnode.dicom.inflating import INFLATED_LIMIT
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.pixels.image_pixel import FRAME_LIMIT
from dicomnode.dicom.pixels.pixel_file import open_pixels
from dicomnode.dicom.reading import read_dataset
from dicomnode.errors import Reason, Refused
from tests.codecs import image, texture, write, write_encoded

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    with Decoders(2) as decoders:
        yield decoders


def refusal(path: Path, decoders: Decoders, number: int = 1) -> Refused:
    with pytest.raises(Refused) as caught:
        open_pixels(path, decoders).frame(number)
    return caught.value


# --- native ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_every_native_syntax_gives_the_numbers_that_were_stored(
    tmp_path: Path, decoders: Decoders, syntax: UID, dtype: str
) -> None:
    pixels = texture((3, 6, 4), dtype)
    ds = image(pixels)
    if syntax == ExplicitVRBigEndian:
        words = pixels.ravel().view("u2") if pixels.itemsize == 1 else pixels
        ds.PixelData = words.byteswap().tobytes()
    read = open_pixels(write(ds, tmp_path / "image.dcm", syntax), decoders)
    frames = [read.frame(number) for number in (3, 1, 2)]
    np.testing.assert_array_equal(frames, pixels[[2, 0, 1]])
    assert all(frame.dtype == pixels.dtype and frame.dtype.isnative for frame in frames)


def test_bytes_in_big_endian_words_are_found_in_frames_of_odd_length(tmp_path: Path, decoders: Decoders) -> None:
    pixels = texture((2, 3, 5), "u1")
    ds = image(pixels, PixelData=pixels.ravel().view("u2").byteswap().tobytes())
    read = open_pixels(write(ds, tmp_path / "image.dcm", ExplicitVRBigEndian), decoders)
    np.testing.assert_array_equal([read.frame(1), read.frame(2)], pixels)


@pytest.mark.parametrize(("signed", "expected"), [(0, [0, 1, 4095, 2048]), (1, [0, 1, -1, -2048])])
@pytest.mark.parametrize("high", [11, 15])
def test_overlays_in_the_unused_bits_are_dropped(
    tmp_path: Path, decoders: Decoders, signed: int, expected: list[int], high: int
) -> None:
    values = np.array([[0, 1], [0xFFF, 0x800]], "u2")
    overlaid = values | 0xA000 if high == 11 else values << 4 | 0x5
    ds = image(overlaid.astype("u2"), BitsStored=12, HighBit=high, PixelRepresentation=signed)
    frame = open_pixels(write(ds, tmp_path / "image.dcm"), decoders).frame(1)
    assert frame.ravel().tolist() == expected


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DEFLATED_FRAMES])
def test_single_bits_are_found_where_frames_do_not_end_with_a_byte(
    tmp_path: Path, decoders: Decoders, syntax: str
) -> None:
    bits = texture((3, 5, 7), "u1") & 1
    ds = image(bits, BitsAllocated=1, BitsStored=1, HighBit=0)
    path = tmp_path / "image.dcm"
    if syntax == DEFLATED_FRAMES:
        frames = [deflated(np.packbits(frame, bitorder="little").tobytes()) for frame in bits]
        write_encoded(ds, path, syntax, frames)
    else:
        ds.PixelData = np.packbits(bits, bitorder="little").tobytes()
        write(ds, path, syntax)
    read = open_pixels(path, decoders)
    np.testing.assert_array_equal([read.frame(number) for number in (1, 2, 3)], bits)


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def test_one_frame_of_a_large_file_is_read_without_the_others(tmp_path: Path, decoders: Decoders) -> None:
    path = write(image(texture((2, 64, 64))), tmp_path / "image.dcm")
    frames = 20_000
    ds = dcmread(path, stop_before_pixels=True)
    ds.NumberOfFrames = frames
    ds.save_as(path)
    with path.open("r+b") as file:
        file.seek(0, 2)
        size = frames * 64 * 64 * 2
        file.write(b"\xe0\x7f\x10\0OW\0\0" + struct.pack("<I", size))
        end = file.tell() + size
        file.seek(end - 64 * 64 * 2)
        file.write(np.full((64, 64), 7, "u2").tobytes())
    before = bytes_read()
    assert (open_pixels(path, decoders).frame(frames) == 7).all()
    assert bytes_read() - before < 1 << 20


def bytes_read() -> int:
    """Return how many bytes this process has read from files."""
    return int(Path("/proc/self/io").read_text(encoding="ascii").split()[1])


# --- colour ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_are_found_by_pixel_and_by_plane(tmp_path: Path, decoders: Decoders, planar: int) -> None:
    pixels = texture((5, 4, 3), "u1")
    data = np.moveaxis(pixels, -1, 0).tobytes() if planar else pixels.tobytes()
    path = write(image(pixels, PixelData=data, PlanarConfiguration=planar), tmp_path / "image.dcm")
    np.testing.assert_array_equal(open_pixels(path, decoders).frame(1), pixels)


def test_colours_of_sixteen_bits_keep_their_upper_eight(tmp_path: Path, decoders: Decoders) -> None:
    pixels = texture((5, 4, 3), "u2")
    frame = open_pixels(write(image(pixels), tmp_path / "image.dcm"), decoders).frame(1)
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame, pixels // 256)


def test_luminance_and_chrominance_become_rgb(tmp_path: Path, decoders: Decoders) -> None:
    ybr = texture((5, 4, 3), "u1")
    path = write(image(ybr, PhotometricInterpretation="YBR_FULL"), tmp_path / "image.dcm")
    assert largest_difference(open_pixels(path, decoders).frame(1), full_range_rgb(ybr)) <= 1


def test_neighbours_share_their_chrominance_in_422(tmp_path: Path, decoders: Decoders) -> None:
    pairs = texture((5, 2, 4), "u1")  # Y1 Y2 B R
    ybr = np.stack([pairs[..., [0, 2, 3]], pairs[..., [1, 2, 3]]], axis=2).reshape(5, 4, 3)
    ds = image(ybr, PixelData=pairs.tobytes(), PhotometricInterpretation="YBR_FULL_422")
    frame = open_pixels(write(ds, tmp_path / "image.dcm"), decoders).frame(1)
    assert largest_difference(frame, full_range_rgb(ybr)) <= 1


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_PARTIAL_422"])
def test_422_that_is_stored_in_full_shares_nothing(tmp_path: Path, decoders: Decoders, photometric: str) -> None:
    ybr = np.full((2, 3, 5, 3), 128, "u1")
    ybr[..., 0] = np.arange(30).reshape(2, 3, 5) * 7 + 16
    found = open_pixels(write(image(ybr, PhotometricInterpretation=photometric), tmp_path / "image.dcm"), decoders)
    grey = ybr[..., 0] if photometric == "YBR_FULL_422" else (ybr[..., 0] - 16.0) * 255 / 219
    for number in (1, 2):
        assert largest_difference(found.frame(number), np.repeat(grey[number - 1, ..., None], 3, axis=-1)) <= 1


@pytest.mark.parametrize("size", [18, 22, 26])
def test_422_of_a_length_that_fits_nothing_is_refused(tmp_path: Path, decoders: Decoders, size: int) -> None:
    ds = image(np.zeros((2, 4, 3), "u1"), PhotometricInterpretation="YBR_FULL_422", PixelData=bytes(size))
    refused = refusal(write(ds, tmp_path / "image.dcm"), decoders)
    assert refused.reason is Reason.INVALID_HEADER
    assert refused.detail == f"YBR_FULL_422 pixel data of {size} bytes: 16 are wanted, or 24 where nothing is shared"


def test_422_that_is_too_short_for_anything_is_cut_off(tmp_path: Path, decoders: Decoders) -> None:
    ds = image(np.zeros((2, 4, 3), "u1"), PhotometricInterpretation="YBR_FULL_422", PixelData=bytes(14))
    assert refusal(write(ds, tmp_path / "image.dcm"), decoders).reason is Reason.TRUNCATED


def test_the_partial_range_is_stretched(tmp_path: Path, decoders: Decoders) -> None:
    pairs = np.array([[[16, 235, 128, 128], [81, 81, 90, 240]]], "u1")  # black, white; pure red twice
    ds = image(np.zeros((1, 4, 3), "u1"), PixelData=pairs.tobytes(), PhotometricInterpretation="YBR_PARTIAL_422")
    frame = open_pixels(write(ds, tmp_path / "image.dcm"), decoders).frame(1)
    expected = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [255, 0, 0]]])
    assert largest_difference(frame, expected) <= 1


def full_range_rgb(ybr: NDArray[Any]) -> NDArray[Any]:
    """Return the colours by the equations of JFIF (ITU-T T.871 section 7)."""
    y, blue, red = (ybr[..., index].astype(float) - offset for index, offset in enumerate((0, 128, 128)))
    rgb = np.stack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], axis=-1)
    return rgb.clip(0, 255).round()


def largest_difference(first: NDArray[Any], second: NDArray[Any]) -> int:
    assert first.shape == second.shape
    return int(np.abs(first.astype(int) - second.astype(int)).max())


def palette(table: NDArray[Any], first: int, bits: int, *, words: str = "<u2") -> dict[str, Any]:
    """Return the elements of a palette whose entries, (entry, 3), begin at stored value `first`."""
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for index, colour in enumerate(("Red", "Green", "Blue")):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [len(table), first, bits]
        data = table[:, index].astype("u1").tobytes() if bits == 8 else table[:, index].astype(words).tobytes()
        elements[f"{colour}PaletteColorLookupTableData"] = data
    return elements


@pytest.mark.parametrize(("bits", "scale"), [(8, 1), (16, 256), (16, 1)])
def test_a_palette_gives_colours_of_eight_bits(tmp_path: Path, decoders: Decoders, bits: int, scale: int) -> None:
    colours = texture((40, 3), "u1").astype(int)
    stored = texture((6, 4), "u1")
    path = write(image(stored, **palette(colours * scale, 100, bits)), tmp_path / "image.dcm")
    expected = colours[np.clip(stored.astype(int) - 100, 0, 39)]
    np.testing.assert_array_equal(open_pixels(path, decoders).frame(1), expected)


def test_a_palette_in_big_endian_words_gives_the_same_colours(tmp_path: Path, decoders: Decoders) -> None:
    colours, stored = texture((300, 3), "u1").astype(int), texture((6, 4), "u2") % 300
    elements = palette(colours * 256, 0, 16, words=">u2")
    ds = image(stored, PixelData=stored.byteswap().tobytes(), **elements)
    path = write(ds, tmp_path / "image.dcm", ExplicitVRBigEndian)
    np.testing.assert_array_equal(open_pixels(path, decoders).frame(1), colours[stored])


def test_a_segmented_palette_is_drawn_out(tmp_path: Path, decoders: Decoders) -> None:
    stored = np.arange(6, dtype="u1").reshape(2, 3)
    segments = struct.pack("<7H", 0, 2, 0, 256 * 10, 1, 4, 256 * 50)  # two entries, then four in a line
    ds = image(stored, PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [6, 0, 16])
        setattr(ds, f"Segmented{colour}PaletteColorLookupTableData", segments)
    frame = open_pixels(write(ds, tmp_path / "image.dcm"), decoders).frame(1)
    assert frame[..., 0].ravel().tolist() == [0, 10, 20, 30, 40, 50]


def test_a_palette_that_is_not_there_is_refused(tmp_path: Path, decoders: Decoders) -> None:
    path = write(image(texture((6, 4)), PhotometricInterpretation="PALETTE COLOR"), tmp_path / "image.dcm")
    assert refusal(path, decoders).reason is Reason.INVALID_HEADER


# --- compressed -----------------------------------------------------------------------------------------------------


def compressed(pixels: NDArray[Any], syntax: UID) -> list[bytes]:
    """Return the frames, (frame, row, column[, 3]), compressed without loss."""
    options = {
        "rows": pixels.shape[1],
        "columns": pixels.shape[2],
        "samples_per_pixel": 3 if pixels.ndim == 4 else 1,
        "bits_allocated": pixels.itemsize * 8,
        "bits_stored": pixels.itemsize * 8,
        "pixel_representation": int(pixels.dtype.kind == "i"),
        "photometric_interpretation": "RGB" if pixels.ndim == 4 else "MONOCHROME2",
        "number_of_frames": 1,
        "planar_configuration": 0,
    }
    plugin = "pyjpegls" if syntax == JPEGLSLossless else "pylibjpeg"
    return [bytes(get_encoder(syntax).encode(frame, encoding_plugin=plugin, **options)) for frame in pixels]


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize(("shape", "dtype"), [((2, 41, 37), "u1"), ((2, 41, 37), "i2"), ((2, 41, 37, 3), "u1")])
def test_what_is_compressed_without_loss_is_what_was_stored(
    tmp_path: Path, decoders: Decoders, syntax: UID, shape: tuple[int, ...], dtype: str
) -> None:
    pixels = texture(shape, dtype)
    path = write_encoded(image(pixels), tmp_path / "image.dcm", syntax, compressed(pixels, syntax))
    read = open_pixels(path, decoders)
    np.testing.assert_array_equal([read.frame(1), read.frame(2)], pixels)
    assert read.frame(1).dtype == pixels.dtype


@pytest.mark.parametrize("has_table", [True, False])
def test_frames_in_several_fragments_are_put_together(tmp_path: Path, decoders: Decoders, *, has_table: bool) -> None:
    pixels = texture((4, 40, 40))
    frames = compressed(pixels, JPEG2000Lossless)
    path = write_encoded(
        image(pixels), tmp_path / "image.dcm", JPEG2000Lossless, frames, fragments_per_frame=3, has_bot=has_table
    )
    read = open_pixels(path, decoders)
    np.testing.assert_array_equal([read.frame(number) for number in (4, 1, 3, 2)], pixels[[3, 0, 2, 1]])


def test_an_image_with_an_extended_offset_table_is_read(tmp_path: Path, decoders: Decoders) -> None:
    pixels = texture((3, 9, 7))
    data, offsets, lengths = encapsulate_extended(compressed(pixels, JPEGLSLossless))
    ds = image(pixels, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    path = write_encoded(ds, tmp_path / "image.dcm", JPEGLSLossless, [b"\0\0"])
    whole = dcmread(path)
    whole.PixelData = data
    whole.save_as(path)
    read = open_pixels(path, decoders)
    np.testing.assert_array_equal([read.frame(number) for number in (1, 2, 3)], pixels)


def test_many_threads_may_ask_at_once(tmp_path: Path, decoders: Decoders) -> None:
    pixels = texture((20, 40, 40))
    encoded = write_encoded(
        image(pixels), tmp_path / "encoded.dcm", JPEG2000Lossless, compressed(pixels, JPEG2000Lossless)
    )
    deflated_file = write(image(pixels), tmp_path / "deflated.dcm", DeflatedExplicitVRLittleEndian)
    for path in (encoded, deflated_file):
        read = open_pixels(path, decoders)
        with ThreadPoolExecutor(8) as pool:
            np.testing.assert_array_equal(list(pool.map(read.frame, range(1, 21))), pixels)


# --- refused --------------------------------------------------------------------------------------------------------


def test_only_the_frame_that_is_cut_off_is_lost(tmp_path: Path, decoders: Decoders) -> None:
    pixels = texture((3, 9, 7))
    plain = write(image(pixels), tmp_path / "plain.dcm")
    encoded = write_encoded(image(pixels), tmp_path / "rle.dcm", RLELossless, compressed(pixels, RLELossless))
    for path in (plain, encoded):
        path.write_bytes(path.read_bytes()[:-40])
        read = open_pixels(path, decoders)
        np.testing.assert_array_equal([read.frame(1), read.frame(2)], pixels[:2])
        refused = refusal(path, decoders, 3)
        assert (refused.reason, refused.detail) == (Reason.TRUNCATED, "its pixel data end before frame 3 of 3 does")


def test_a_frame_that_the_image_does_not_have_is_refused(tmp_path: Path, decoders: Decoders) -> None:
    path = write(image(texture((3, 9, 7))), tmp_path / "image.dcm")
    for number in (0, 4):
        refused = refusal(path, decoders, number)
        assert (refused.reason, refused.detail) == (Reason.INVALID_HEADER, f"frame {number} of 3 is asked for")


def test_pixels_that_are_not_as_their_syntax_says_are_refused(tmp_path: Path, decoders: Decoders) -> None:
    pixels = texture((9, 7))
    plain = write(image(pixels), tmp_path / "plain.dcm")
    encoded = write_encoded(image(pixels), tmp_path / "encoded.dcm", RLELossless, [b"\0" * 64])
    plain.write_bytes(plain.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"))
    encoded.write_bytes(encoded.read_bytes().replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0"))
    for path in (plain, encoded):
        refused = refusal(path, decoders)
        assert refused.reason is Reason.TRUNCATED
        assert "encapsulated" in refused.detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Rows": None}, Reason.INVALID_HEADER),
        ({"Rows": 0}, Reason.INVALID_HEADER),
        ({"BitsStored": 17}, Reason.INVALID_HEADER),
        ({"HighBit": 16}, Reason.INVALID_HEADER),
        ({"SamplesPerPixel": 3}, Reason.INVALID_HEADER),
        ({"PhotometricInterpretation": None}, Reason.INVALID_HEADER),
        ({"PhotometricInterpretation": "CMYK"}, Reason.UNSUPPORTED_IMAGE),
        ({"BitsAllocated": 12, "BitsStored": 12, "HighBit": 11}, Reason.INVALID_HEADER),
        ({"Rows": 65535, "Columns": 65535}, Reason.LIMIT),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422"}, Reason.INVALID_HEADER),
    ],
)
def test_a_header_that_describes_no_readable_pixels_is_refused(
    tmp_path: Path, decoders: Decoders, changes: dict[str, Any], reason: Reason
) -> None:
    path = write(image(texture((9, 7)), **changes), tmp_path / "image.dcm")
    assert refusal(path, decoders).reason is reason


def test_a_frame_too_large_is_refused_before_memory_is_taken(tmp_path: Path, decoders: Decoders) -> None:
    path = write(image(texture((9, 7)), Rows=65535, Columns=65535), tmp_path / "image.dcm")
    tracemalloc.start()
    refused = refusal(path, decoders)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"at most {FRAME_LIMIT >> 20}" in refused.detail
    assert peak < 1 << 22


def test_real_numbers_are_set_aside(tmp_path: Path, decoders: Decoders) -> None:
    ds = image(texture((9, 7), "u4"))
    ds.FloatPixelData = ds.PixelData
    del ds.PixelData
    assert refusal(write(ds, tmp_path / "image.dcm"), decoders).reason is Reason.UNSUPPORTED_IMAGE


def test_an_image_without_pixel_data_is_refused(tmp_path: Path, decoders: Decoders) -> None:
    ds = image(texture((9, 7)))
    del ds.PixelData
    refused = refusal(write(ds, tmp_path / "image.dcm"), decoders)
    assert (refused.reason, refused.detail) == (Reason.TRUNCATED, "it has no pixel data")


@pytest.mark.parametrize(
    ("syntax", "named"),
    [(MPEG4HP41, "MPEG-4 AVC/H.264 High Profile"), ("1.2.3.4.5", "the unknown transfer syntax (1.2.3.4.5)")],
)
def test_a_syntax_that_nothing_decodes_is_refused_by_name(
    tmp_path: Path, decoders: Decoders, syntax: str, named: str
) -> None:
    path = write_encoded(image(texture((9, 7))), tmp_path / "image.dcm", syntax, [b"\0\0"])
    refused = refusal(path, decoders)
    assert refused.reason is Reason.NO_DECODER
    assert named in refused.detail
    assert syntax in refused.detail


def test_a_broken_stream_is_refused(tmp_path: Path, decoders: Decoders) -> None:
    pixels = texture((1, 40, 40), "u1")
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        (whole,) = compressed(pixels, syntax)
        path = write_encoded(image(pixels[0]), tmp_path / "image.dcm", syntax, [whole[: len(whole) // 2]])
        assert refusal(path, decoders).reason is Reason.TRUNCATED
    for syntax in (JPEGBaseline8Bit, HTJ2KLossless, UID(DEFLATED_FRAMES)):
        path = write_encoded(image(pixels[0]), tmp_path / "image.dcm", syntax, [b"\xff\xff" * 40])
        assert refusal(path, decoders).reason is Reason.TRUNCATED


# --- deflated -------------------------------------------------------------------------------------------------------


def bomb(folder: Path, size: int, **changes: Any) -> Path:  # noqa: ANN401 - any element
    """Write a small file whose deflated data set has `size` bytes of pixels, all 0; `changes` are elements."""
    ds = image(texture((2, 9, 7)), **changes)
    del ds.PixelData
    path = write(ds, folder / "bomb.dcm")
    head = path.read_bytes()
    start = head.index(b"\x08\0\x16\0UI")  # SOP Class UID, the first element
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    parts = [compressor.compress(head[start:] + b"\xe0\x7f\x10\0OW\0\0" + struct.pack("<I", size))]
    parts += [compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    meta = head[:start].replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99")
    (length,) = struct.unpack_from("<I", meta, 140)
    meta = meta[:140] + struct.pack("<I", length + 2) + meta[144:]
    path.write_bytes(meta + b"".join(parts) + compressor.flush())
    return path


def test_a_small_file_that_inflates_without_end_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = bomb(tmp_path, 600 << 20)
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(Refused, match=f"LIMIT: it inflates to more than {INFLATED_LIMIT >> 20} MiB"):
        read_dataset(path, str(path), pixels=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 30


def test_no_more_is_inflated_than_the_header_wants(tmp_path: Path, decoders: Decoders) -> None:
    path = bomb(tmp_path, 600 << 20)
    tracemalloc.start()
    assert not open_pixels(path, decoders).frame(2).any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 25


def test_a_header_that_wants_too_much_of_a_deflated_file_is_refused_before_it_is_inflated(
    tmp_path: Path, decoders: Decoders
) -> None:
    path = bomb(tmp_path, 600 << 20, Rows=4096, Columns=4096, NumberOfFrames=13)
    tracemalloc.start()
    refused = refusal(path, decoders)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.reason is Reason.LIMIT
    assert refused.detail == f"its pixels inflate to 416 MiB: at most {INFLATED_LIMIT >> 20} are read"
    assert peak < 1 << 25


def test_threads_hold_one_large_deflated_image_at_a_time(tmp_path: Path, decoders: Decoders) -> None:
    path = bomb(tmp_path, 64 << 20, Rows=1024, Columns=1024, NumberOfFrames=32)
    images = [open_pixels(path, decoders) for _ in range(4)]
    tracemalloc.start()
    with ThreadPoolExecutor(4) as pool:
        frames = list(pool.map(lambda image: image.frame(32).any(), images))
    held, peak = tracemalloc.get_traced_memory()
    del images
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert frames == [False] * 4
    assert held < 80 << 20
    assert peak < 100 << 20
    assert left < 1 << 22


def test_a_deflated_stream_that_is_broken_loses_the_frames_behind(tmp_path: Path, decoders: Decoders) -> None:
    pixels = np.random.default_rng(1).integers(0, 1 << 16, (3, 300, 300), np.uint16)
    path = write(image(pixels), tmp_path / "image.dcm", DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    start = 144 + struct.unpack_from("<I", content, 140)[0]
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    part = compressor.compress(zlib.decompress(content[start:], -zlib.MAX_WBITS)[: -pixels[0].nbytes])
    path.write_bytes(content[:start] + part + compressor.flush(zlib.Z_SYNC_FLUSH) + b"\xff" * 8)  # no such block
    read = open_pixels(path, decoders)
    np.testing.assert_array_equal(read.frame(1), pixels[0])
    assert refusal(path, decoders, 3).reason is Reason.TRUNCATED


def test_the_header_of_a_deflated_file_is_read_without_inflating_the_rest(tmp_path: Path) -> None:
    path = bomb(tmp_path, 600 << 20)
    tracemalloc.start()
    ds, _ = read_dataset(path, str(path), pixels=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (ds.Rows, ds.file_meta.TransferSyntaxUID) == (9, DeflatedExplicitVRLittleEndian)
    assert peak < 1 << 25


def test_a_deflated_data_set_is_read_whole(tmp_path: Path) -> None:
    pixels = texture((9, 7))
    path = write(image(pixels), tmp_path / "image.dcm", DeflatedExplicitVRLittleEndian)
    ds, notes = read_dataset(path, str(path), pixels=True)
    assert (ds.PixelData, notes) == (pixels.tobytes(), ())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Refused, match=Reason.TRUNCATED):
        read_dataset(path, str(path), pixels=True)


# --- real files -----------------------------------------------------------------------------------------------------

SAME = [  # files that hold the same pixels, one compressed without loss or written otherwise
    ("693_J2KR", "693_UNCR", 0),
    ("MR2_J2KR", "MR2_UNCR", 0),
    ("MR2_J2KI", "MR2_UNCI", 0),
    ("US1_J2KI", "US1_UNCI", 0),
    ("emri_small_RLE", "emri_small", 0),
    ("emri_small_jpeg_2k_lossless", "emri_small", 0),
    ("emri_small_jpeg_ls_lossless", "emri_small", 0),
    ("OBXXXX1A_rle_2frame", "OBXXXX1A_2frame", 0),
    ("OBXXXX1A_expb_2frame", "OBXXXX1A_2frame", 0),
    ("SC_rgb_expb_16bit_2frame", "SC_rgb_16bit_2frame", 0),
    ("SC_rgb_expb_32bit_2frame", "SC_rgb_32bit_2frame", 0),
    ("SC_rgb_rle_16bit_2frame", "SC_rgb_16bit_2frame", 0),
    ("SC_rgb_rle_32bit_2frame", "SC_rgb_32bit_2frame", 0),
    ("SC_rgb_rle_2frame", "SC_rgb_2frame", 0),
    ("SC_rgb_jpeg_gdcm", "SC_rgb", 0),
    ("SC_rgb_gdcm_KY", "SC_rgb_gdcm2k_uncompressed", 0),
    ("SC_rgb_dcmtk_+eb+cr", "SC_rgb_dcmtk_ebcr_dcmd", 1),
    ("SC_rgb_dcmtk_+eb+cy+n1", "SC_rgb_dcmtk_ebcyn1_dcmd", 1),
    ("SC_rgb_dcmtk_+eb+cy+n2", "SC_rgb_dcmtk_ebcyn2_dcmd", 1),
    ("SC_rgb_dcmtk_+eb+cy+np", "SC_rgb_dcmtk_ebcynp_dcmd", 1),
    ("SC_rgb_dcmtk_+eb+cy+s2", "SC_rgb_dcmtk_ebcys2_dcmd", 1),
    ("SC_rgb_dcmtk_+eb+cy+s4", "SC_rgb_dcmtk_ebcys4_dcmd", 1),
    ("SC_rgb_jpeg", "SC_rgb_jpeg_dcmd", 1),
    ("SC_ybr_full_422_uncompressed", "SC_ybr_full_uncompressed", 1),
    ("JPEG2000", "JPEG2000_UNC", 0),
    ("MR_small_RLE", "MR_small", 0),
    ("MR_small_jp2klossless", "MR_small", 0),
    ("MR_small_jpeg_ls_lossless", "MR_small", 0),
    ("MR_small_bigendian", "MR_small", 0),
    ("MR_small_implicit", "MR_small", 0),
    ("MR_small_padded", "MR_small", 0),
    ("rtdose_rle", "rtdose", 0),
    ("rtdose_expb", "rtdose", 0),
    ("color-pl", "color-px", 0),
    ("gdcm-US-ALOKA-16_big", "gdcm-US-ALOKA-16", 0),
    ("liver_expb", "liver_deflate", 0),
    ("liver_j2k", "liver_deflate", 0),
    ("liver_rle", "liver_deflate", 0),
    ("liver_nonbyte_aligned", "liver_nonbyte_aligned_deflate", 0),
    ("liver_nonbyte_aligned_j2k", "liver_nonbyte_aligned_deflate", 0),
    ("liver_nonbyte_aligned_rle", "liver_nonbyte_aligned_deflate", 0),
]


def real_file(data_dir: Path, name: str) -> Path:
    (path,) = (
        path
        for folder in ("pydicom_data_codecs", "pydicom_testfiles")
        for path in (data_dir / folder).rglob(f"{name}.dcm")
    )
    return path


@pytest.mark.data
@pytest.mark.parametrize(("name", "original", "tolerance"), SAME)
def test_a_real_file_holds_what_its_uncompressed_form_holds(
    data_dir: Path, decoders: Decoders, name: str, original: str, tolerance: int
) -> None:
    found, expected = (open_pixels(real_file(data_dir, file), decoders) for file in (name, original))
    for number in range(1, int(expected.header.get("NumberOfFrames") or 1) + 1):
        assert largest_difference(found.frame(number), expected.frame(number)) <= tolerance


@pytest.mark.data
def test_every_real_file_of_the_codecs_is_decoded(data_dir: Path, tmp_path: Path, decoders: Decoders) -> None:
    files = sorted((data_dir / "pydicom_data_codecs").rglob("*.dcm"))
    assert len(files) > 60
    for path in files:
        ds = dcmread(path, force=True, stop_before_pixels=True)
        read = open_pixels(identified(path, tmp_path), decoders)
        colours = ds.PhotometricInterpretation == "PALETTE COLOR" or ds.SamplesPerPixel == 3
        for number in range(1, int(ds.get("NumberOfFrames") or 1) + 1):
            assert read.frame(number).shape == ((ds.Rows, ds.Columns, 3) if colours else (ds.Rows, ds.Columns))


def identified(path: Path, folder: Path) -> Path:
    """Return `path`, or a copy with the UIDs and the preamble that some of the files lack."""
    if dcmread(path, force=True, stop_before_pixels=True).get("SOPInstanceUID"):
        return path
    ds = dcmread(path, force=True)
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    ds.save_as(folder / path.name, enforce_file_format=True)
    return folder / path.name


@pytest.mark.data
@pytest.mark.parametrize("name", ["JPGExtended", "JPEG-lossy"])
def test_jpeg_of_twelve_bits_is_refused_by_name(data_dir: Path, decoders: Decoders, name: str) -> None:
    refused = refusal(real_file(data_dir, name), decoders)
    assert refused.reason is Reason.NO_DECODER
    assert "JPEG Extended (Process 2 and 4) (1.2.840.10008.1.2.4.51) of 12 bits" in refused.detail
