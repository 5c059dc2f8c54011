"""Find planes to calibrate a model with: as its network sees them, spread over all images at hand."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.scan import scan
from dicomnode.dicom.stack import read_stack
from dicomnode.domain import Stack, StackImages
from dicomnode.errors import Reason, Refused
from dicomnode.inference.transforms import to_network
from dicomnode.inference.windows import AUTO, to_byte_range, window_of
from dicomnode.planning import plan

T = TypeVar("T")


def squares_of(paths: Iterable[Path], most: int) -> tuple[NDArray[np.float32], ...]:
    """Return at most `most` planes of the images in `paths`, (3, 256, 256) float32 in 0..1 each.

    They are taken evenly from the stacks and, of each, from the inner planes. Images that cannot be read are left out;
    where none is left it is refused as NO_IMAGES.
    """
    instances, _ = scan(paths)
    stacks = _spread(plan(instances).stacks, most)
    each = -(-most // len(stacks)) if stacks else 0
    with Decoders() as decoders:
        found = [square for images in stacks for square in _squares(images, decoders, each)]
    if not found:
        raise Refused(Reason.NO_IMAGES, "models quantize", "there are no images that can be read")
    return tuple(found[:most])


def _squares(images: StackImages, decoders: Decoders, count: int) -> Iterator[NDArray[np.float32]]:
    try:
        stack = read_stack(images, decoders)
    except Refused:
        return
    yield from _inner(stack, count)


def _inner(stack: Stack, count: int) -> Iterator[NDArray[np.float32]]:
    window = window_of(stack, AUTO)
    margin = len(stack.planes) // 8  # where a scan begins and ends there is little to see
    for plane in _spread(stack.planes[margin : len(stack.planes) - margin], count):
        image = to_byte_range(plane.shown().astype(np.float32, copy=False), window)
        yield to_network(image, reference=False)[0]


def _spread(things: Sequence[T], count: int) -> tuple[T, ...]:
    """Return at most `count` of `things`, evenly spread."""
    numbers = np.linspace(0, len(things) - 1, min(count, len(things))).round().astype(int)
    return tuple(things[number] for number in numbers)
