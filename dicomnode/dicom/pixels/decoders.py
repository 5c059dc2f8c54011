"""Have compressed frames decoded by child processes, so that a malformed one ends a child and not the node."""

import json
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from queue import LifoQueue
from threading import Event, Lock, Timer
from typing import IO, Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from dicomnode.cpus import usable_cpus
from dicomnode.dicom.pixels.image_pixel import ImagePixel
from dicomnode.errors import Reason, Refused, Unavailable

PLUGINS = {  # one permissive decoder a syntax: none of them takes a stream that is cut off
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG
    "1.2.840.10008.1.2.4.51": "pillow",
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG lossless
    "1.2.840.10008.1.2.4.70": "gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",  # JPEG-LS: gdcm fails at 6 and 7 bits
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg",  # HTJ2K
    "1.2.840.10008.1.2.4.202": "pylibjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg",
    "1.2.840.10008.1.2.5": "pylibjpeg",  # RLE
}
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"  # Deflated Image Frame Compression, PS3.5 A.4.12: needs no child

_START_SECONDS = 60.0
_FRAME_SECONDS = 8.0
_SECONDS_PER_MIB = 1.0
_CLOSED = "the decoders are closed"
_HEAD_LIMIT = 1 << 16  # bytes of JSON in a reply
_REASONS = frozenset({Reason.TRUNCATED, Reason.INVALID_HEADER, Reason.LIMIT, Reason.NO_DECODER})


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedFrame:
    """One compressed frame as the file holds it, its transfer syntax, and what its header says of it."""

    data: bytes
    syntax: UID
    image: ImagePixel


class Decoders:
    """Child processes that decode compressed frames, started when first needed; a context manager.

    None of them outlives this process: each ends when nobody can send it requests any more.
    """

    def __init__(self, count: int | None = None, *, frame_seconds: float = _FRAME_SECONDS) -> None:
        self._frame_seconds = frame_seconds
        self._slots: LifoQueue[_Child | None] = LifoQueue()  # the child that worked last is taken first
        self._children: set[_Child] = set()
        self._lock = Lock()
        self._closed = False
        for _ in range(count or usable_cpus()):
            self._slots.put(None)

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the children, with the frames that they may be at."""
        with self._lock:
            self._closed = True
            children, self._children = self._children, set()
        for child in children:
            child.end()

    def pids(self) -> tuple[int, ...]:
        """Return the process ids of the children that live."""
        with self._lock:
            return tuple(child.pid for child in self._children)

    def decode(self, frame: EncodedFrame, what: str) -> NDArray[np.integer[Any]]:
        """Return the numbers in `frame`, of the shape and type of `frame.image`; colours are RGB unless palette.

        Waits for a child to be free. Refuses with TRUNCATED, INVALID_HEADER, NO_DECODER or LIMIT; a frame that ends
        its child, or is not done in time, costs only itself. Unavailable when no child can be started, or
        after closing.
        """
        slot, child = self._slots.get(), None
        try:
            child = self._kept(slot) or self._start()
            return child.decode(frame, what, self._frame_seconds + _SECONDS_PER_MIB * len(frame.data) / 2**20)
        except Refused as error:
            if self._closed and not (child and child.ready):  # closing ended it, and not the frame
                raise Unavailable(_CLOSED) from error
            raise
        finally:
            self._slots.put(self._kept(child))

    def _start(self) -> "_Child":
        if self._closed:
            raise Unavailable(_CLOSED)
        try:
            child = _Child()
        except OSError as error:
            raise Unavailable(f"no process that decodes pixels can be started: {error}") from error
        child.wait_until_ready()
        with self._lock:
            if not self._closed:
                self._children.add(child)
                return child
        child.end()
        raise Unavailable(_CLOSED)

    def _kept(self, child: "_Child | None") -> "_Child | None":
        """Return `child`, or None after ending it where it is gone or did not finish its last frame."""
        if child is None or child.ready:
            return child
        child.end()
        with self._lock:
            self._children.discard(child)
        return None


class _Child:
    """One process; between two frames it waits."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dicomnode.dicom.pixels.decoder_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._process.pid
        self._in_step = False  # it has answered all it was asked

    @property
    def ready(self) -> bool:
        """Return whether it can be asked."""
        return self._in_step and self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Return when it has loaded its libraries."""
        with _Deadline(self, _START_SECONDS):
            self._in_step = self._head() is not None
        if not self._in_step:
            self.end()
            raise Unavailable("a process that decodes pixels ended before it was ready")

    def decode(self, frame: EncodedFrame, what: str, seconds: float) -> NDArray[np.integer[Any]]:
        """Return the numbers of `frame`; where that does not come about within `seconds`, end and refuse."""
        name = UID(frame.syntax).name
        numbers = np.empty(frame.image.shape, frame.image.dtype)
        self._in_step = False
        with _Deadline(self, seconds) as deadline:
            head = self._ask(frame, seconds, numbers)
        if deadline.passed.is_set():
            raise Refused(Reason.TRUNCATED, what, f"its {name} pixels took longer than {seconds:.3g} s to decode")
        if head is None:
            raise Refused(Reason.TRUNCATED, what, f"its {name} pixels took the decoder down")
        self._in_step = True
        if "reason" in head:
            raise _refused(head, frame.syntax, what)
        return numbers

    def kill(self) -> None:
        """End it at once, from any thread."""
        self._process.kill()

    def end(self) -> None:
        """End it and wait until it is gone."""
        self._in_step = False
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            _close(cast("IO[bytes]", pipe))

    def _ask(self, frame: EncodedFrame, seconds: float, numbers: NDArray[Any]) -> dict[str, Any] | None:
        """Send `frame` and fill `numbers`; return what was answered, or None where that was no answer."""
        head = {
            "syntax": frame.syntax,
            "seconds": seconds,
            "bytes": len(frame.data),
            "options": _options(frame.image),
        }
        text = json.dumps(head).encode()
        requests = cast("IO[bytes]", self._process.stdin)
        try:
            requests.write(struct.pack(">I", len(text)) + text)
            requests.write(frame.data)
            requests.flush()
            answer = self._head()
            if answer and "reason" in answer:
                return answer
            replies = cast("Any", self._process.stdout)
            whole = answer == {"bytes": numbers.nbytes} and replies.readinto(numbers.data.cast("B")) == numbers.nbytes
        except (BrokenPipeError, ValueError):  # it is gone; `end` closed its pipes
            return None
        return answer if whole else None

    def _head(self) -> dict[str, Any] | None:
        replies = cast("IO[bytes]", self._process.stdout)
        try:
            (length,) = struct.unpack(">I", replies.read(4))
            answer = json.loads(replies.read(min(length, _HEAD_LIMIT)))
        except (ValueError, struct.error):  # it is gone, or talks nonsense
            return None
        return answer if isinstance(answer, dict) else None


class _Deadline:
    """Kills a child that is not done in time, so that whoever waits for it goes on."""

    def __init__(self, child: _Child, seconds: float) -> None:
        self._child = child
        self._timer = Timer(seconds, self._pass)
        self.passed = Event()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()

    def _pass(self) -> None:
        self.passed.set()
        self._child.kill()


def _options(image: ImagePixel) -> dict[str, Any]:
    """Return pydicom's names for what a decoder needs to know."""
    return {
        "rows": image.rows,
        "columns": image.columns,
        "samples_per_pixel": image.samples,
        "bits_allocated": image.allocated,
        "bits_stored": image.stored,
        "pixel_representation": int(image.signed),
        "photometric_interpretation": image.photometric.replace("PARTIAL", "FULL"),
        "planar_configuration": 0,
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }


def _refused(head: dict[str, Any], syntax: UID, what: str) -> Refused:
    detail = str(head.get("detail", ""))
    reason = next((reason for reason in _REASONS if reason == head["reason"]), Reason.TRUNCATED)
    if reason is Reason.NO_DECODER:
        return no_decoder(syntax, what, detail)
    return Refused(reason, what, f"its {syntax.name} pixels: {detail}")


def no_decoder(syntax: UID, what: str, detail: str = "") -> Refused:
    """Return the refusal of pixels in `syntax`, which nothing here decodes."""
    name = syntax.name if syntax.name != syntax else "the unknown transfer syntax"
    return Refused(Reason.NO_DECODER, what, f"no decoder for {name} ({syntax}) {detail}".rstrip())


def _close(pipe: IO[bytes]) -> None:
    with suppress(BrokenPipeError):  # what was not sent will not be
        pipe.close()
