"""Choose which values of a stack are shown to a network as grey levels 0..255, once for all its planes.

The windows are those of MedSAM's training (Ma and others, "Segment anything in medical images", Nature Communications
15:654, 2024): Hounsfield units for CT; for all else that is grey the 0.5 and the 99.5 percentile of the voxels above 0;
and neither wider than the stack's own values. `reference` mode repeats bit for bit what the reference implementation
(bowang-lab/MedSAM, branch LiteMedSAM, Apache-2.0) does with volumes, down to cutting grey levels to whole numbers; it
does not cut 2-D pictures of more than 8 bits to 8 first. What is wrong there is put right:

- A CT is shown in the window of its body part, not always in that of the abdomen (not in reference mode).
- Where more than 0.5 % of the voxels are negative, 0 is no background, and the percentiles are those of all voxels (in
  reference mode only where no voxel is above 0, and the reference has no answer).
- A window that leaves one value, as a binary image's does, is made as wide as the stack's values: nothing is divided by
  0. A stack of one value is black, as is one of padding alone.
- Padding is no measurement: it takes part in no window, and is shown as the darkest pixel of its plane.
- MONOCHROME1 is turned round first: what a viewer shows bright, the network sees bright.
"""

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Stack
from dicomnode.errors import SettingsError
from dicomnode.inference.histograms import extent_of, quantiles_of, tally_of

WHITE = 255.0
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5


class LevelWidth(NamedTuple):
    """The middle of a window and its width, in the modality's units."""

    level: float
    width: float


class Window(NamedTuple):
    """The values that become 0 and 255, as planes are shown, and what the window is called; equal ones show nothing."""

    low: float
    high: float
    text: str


AUTO, PERCENTILES = "auto", "percentiles"
PRESETS = {  # of CT, in Hounsfield units, as MedSAM was trained with them
    "soft-tissue": LevelWidth(40, 400),
    "lung": LevelWidth(-160, 1500),
    "brain": LevelWidth(40, 80),
    "bone": LevelWidth(400, 1800),
}
DEFAULT_PRESET = "soft-tissue"
# Body Part Examined -> preset: the terms of PS3.16 annex L, and THORAX, which many write.
PRESET_OF_PART = {
    **dict.fromkeys(("BRONCHUS", "CHEST", "LUNG", "THORAX"), "lung"),
    **dict.fromkeys(("BRAIN", "CEREBELLUM", "HEAD"), "brain"),
    **dict.fromkeys(
        ("COCCYX", "CSPINE", "CTSPINE", "LSPINE", "LSSPINE", "SPINE", "SSPINE", "TLSPINE", "TSPINE"), "bone"
    ),
    **dict.fromkeys(("IAC", "JAW", "MANDIBLE", "MAXILLA", "SKULL", "TMJ", "ZYGOMA"), "bone"),
    **dict.fromkeys(("CLAVICLE", "HIP", "ILIUM", "RIB", "SCAPULA", "SHOULDER", "STERNUM"), "bone"),
    **dict.fromkeys(("ELBOW", "FINGER", "FOREARM", "HAND", "HUMERUS", "RADIUS", "THUMB", "ULNA", "WRIST"), "bone"),
    **dict.fromkeys(("ANKLE", "CALCANEUS", "FEMUR", "FIBULA", "FOOT", "KNEE", "PATELLA", "TIBIA", "TOE"), "bone"),
}
_LEVEL_WIDTH = re.compile(r"([+-]?\d{1,9}(?:\.\d{1,9})?)/(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
ALLOWED = f"{', '.join((AUTO, PERCENTILES, *PRESETS))}, or a level and a width greater than 0, such as 40/400"


def parse_window(text: str) -> LevelWidth | None:
    """Return the level and width that `text` means, None where the images decide; refuse a text that is not allowed."""
    asked = text.strip().lower()
    if asked in (AUTO, PERCENTILES):
        return None
    if asked in PRESETS:
        return PRESETS[asked]
    numbers = _LEVEL_WIDTH.fullmatch(asked)
    if not numbers or not float(numbers[2]):
        raise SettingsError(f"window {text!r}", f"allowed are {ALLOWED}")
    return LevelWidth(float(numbers[1]), float(numbers[2]))


def window_of(stack: Stack, wanted: str, *, reference: bool = False) -> Window:
    """Return the window of `stack`; `wanted` is a text that `parse_window` allows.

    The names of presets count for CT alone: elsewhere they leave it to the images, as `auto` does.
    """
    if stack.planes[0].is_colour:
        return Window(0.0, WHITE, "as it is")
    asked = _asked(stack, wanted, reference=reference)
    window = _fixed(stack, asked) if asked else _of_percentiles(stack, reference=reference)
    return window if window.low < window.high else Window(*extent_of(stack), "all values")


def to_byte_range(image: NDArray[np.float32], window: Window, *, reference: bool = False) -> NDArray[np.float32]:
    """Return `image` in grey levels 0..255, whole numbers in reference mode: float32 of the same shape.

    `image` is float32, a plane as it is shown: (row, column), or the colours (row, column, 3), which stay as they are.
    """
    span = window.high - window.low
    if not span:
        return np.zeros_like(image)
    if reference:
        clipped = np.clip(image.astype(np.float64), window.low, window.high)
        return np.trunc((clipped - window.low) / span * WHITE).astype(np.float32)
    levels = image - np.float32(window.low)
    levels *= np.float32(WHITE / span)
    return np.clip(levels, 0, np.float32(WHITE), out=levels)


def _asked(stack: Stack, wanted: str, *, reference: bool) -> LevelWidth | None:
    """Return the level and width to use, None for percentiles."""
    asked, named = parse_window(wanted), wanted.strip().lower()
    if stack.modality != "CT":
        return None if named in PRESETS else asked
    if named != AUTO:
        return asked
    part = "" if reference else stack.body_part
    return PRESETS[PRESET_OF_PART.get(part, DEFAULT_PRESET)]


def _fixed(stack: Stack, asked: LevelWidth) -> Window:
    """Return the window `asked` for, no wider than the values that the stack shows."""
    level = -asked.level if stack.planes[0].inverted else asked.level
    low, high = np.clip(extent_of(stack), level - asked.width / 2, level + asked.width / 2).tolist()
    return Window(low, high, f"{asked.level:g}/{asked.width:g}")


def _of_percentiles(stack: Stack, *, reference: bool) -> Window:
    """Return the window between the percentiles of what is not background."""
    tally = tally_of(stack)
    if not tally.total:
        return Window(0.0, 0.0, "all values")
    positive = tally.total - tally.negative - tally.zero
    many_negative = 100 * tally.negative > LOW_PERCENTILE * tally.total
    skipped = tally.total - positive if positive and (reference or not many_negative) else 0
    low, high = quantiles_of(stack, tally, (LOW_PERCENTILE / 100, HIGH_PERCENTILE / 100), skipped)
    return Window(low, high, f"percentiles {LOW_PERCENTILE:g} and {HIGH_PERCENTILE:g}")
