"""Decode compressed frames for the parent process, one after another (run as `python -m`).

A request is a length (4 bytes, big endian), so many bytes of JSON, and the compressed frame; a reply is the same with
the decoded numbers, little endian, row by row. Whatever a malformed stream does to a decoder, it does it here.
"""

import json
import os
import signal
import struct
import sys
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from dicomnode.dicom.pixels.codestream import END_OF_IMAGE, Codestream, read_jpeg, read_jpeg_2000
from dicomnode.dicom.pixels.decoders import PLUGINS
from dicomnode.dicom.pixels.image_pixel import BYTE
from dicomnode.dicom.reading import PARSER_ERRORS
from dicomnode.errors import Reason, Refused

try:
    import resource
except ImportError:  # there is none on Windows
    resource = None  # type: ignore[assignment]

MEMORY = 768 << 20  # bytes of address space for decoding, above what the libraries take

_STATM = Path("/proc/self/statm")  # of Linux
_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit)
_GRACE = 2.0  # seconds that the parent has to end this process before it does so itself


def main() -> None:
    """Answer requests until there are no more, or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # a decoder's chatter is no reply
    os.dup2(silence, 2)
    warnings.simplefilter("ignore")
    _limit()
    _reply(replies, {})
    while head := _receive(requests):
        _end_after(head["seconds"] + _GRACE)
        data = requests.read(head["bytes"])
        try:
            numbers = _decode(data, head["syntax"], head["options"])
        except Refused as error:
            _reply(replies, {"reason": error.reason, "detail": error.detail})
        except MemoryError:
            _reply(replies, {"reason": Reason.LIMIT, "detail": f"they need more than {MEMORY >> 20} MiB to decode"})
        except PARSER_ERRORS as error:
            _reply(replies, {"reason": Reason.TRUNCATED, "detail": f"they cannot be decoded: {_last_line(error)}"})
        except RuntimeError as error:  # of pydicom: the plugin failed
            _reply(replies, {"reason": Reason.TRUNCATED, "detail": f"they cannot be decoded: {_last_line(error)}"})
        else:
            _reply(replies, {"bytes": numbers.nbytes}, numbers)
        _end_after(0)


def _limit() -> None:
    """Let a stream that asks for all memory fail here, and leave no core file with pixels, as far as the system can."""
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _STATM.exists():
        taken = int(_STATM.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


def _end_after(seconds: float) -> None:
    """End this process after `seconds`, whatever it is busy with; 0: not any more."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _receive(requests: BinaryIO) -> dict[str, Any] | None:
    length = requests.read(4)
    return json.loads(requests.read(*struct.unpack(">I", length))) if length else None


def _reply(replies: BinaryIO, head: dict[str, Any], numbers: NDArray[Any] | None = None) -> None:
    text = json.dumps(head).encode()
    replies.write(struct.pack(">I", len(text)) + text)
    if numbers is not None:
        replies.write(numbers.data)
    replies.flush()


def _decode(data: bytes, syntax: str, options: dict[str, Any]) -> NDArray[Any]:
    """Return the numbers of the frame `data`; `options` are pydicom's names for the Image Pixel module."""
    wanted = np.dtype(f"{'i' if options['pixel_representation'] else 'u'}{max(options['bits_allocated'] // 8, 1)}")
    stream = _read_stream(data, syntax)
    if stream:
        _check(stream, syntax, options)
    if syntax in _LOSSY:
        options = options | {"bits_allocated": BYTE, "bits_stored": BYTE}
    numbers, properties = get_decoder(UID(syntax)).as_array(
        encapsulate([data]), index=0, raw=True, decoding_plugin=PLUGINS[syntax], **options
    )
    in_rgb = syntax in _LOSSY and stream is not None and stream.adobe  # pillow follows that marker itself
    if str(properties["photometric_interpretation"]).startswith("YBR_FULL") and not in_rgb:
        numbers = convert_color_space(numbers, "YBR_FULL", "RGB")
    return np.ascontiguousarray(numbers, wanted)


def _read_stream(data: bytes, syntax: str) -> Codestream | None:
    if syntax == RLELossless:
        return None
    if syntax in JPEGLSTransferSyntaxes and END_OF_IMAGE not in data:  # CharLS takes seconds to notice
        raise ValueError("it ends before its image does")
    return read_jpeg_2000(data) if syntax in JPEG2000TransferSyntaxes else read_jpeg(data)


def _check(stream: Codestream, syntax: str, options: dict[str, Any]) -> None:
    found = (stream.rows, stream.columns, stream.samples)
    told = (options["rows"], options["columns"], options["samples_per_pixel"])
    if found != told:
        detail = f"they are {_times(found)} (rows, columns, samples), the header says {_times(told)}"
        raise Refused(Reason.INVALID_HEADER, "", detail)
    if syntax in _LOSSY and stream.precision > BYTE:
        raise Refused(Reason.NO_DECODER, "", f"of {stream.precision} bits")


def _times(numbers: tuple[int, ...]) -> str:
    return " x ".join(map(str, numbers))


def _last_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[-1].strip()[:200]


if __name__ == "__main__":
    main()
