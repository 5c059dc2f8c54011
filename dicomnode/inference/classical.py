"""Segment the object in a box without a trained model, by histogram region competition under an elliptic prior.

Grey-value histograms of inside and outside compete for each pixel, after Zhu and Yuille, "Region competition" (IEEE
TPAMI 18:884, 1996); where they say nothing, an ellipse that touches the four sides of the box decides. No sum is shared
between threads, so the result does not depend on their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own usage
from numpy.typing import NDArray

from dicomnode.domain import Code, ModelIdentity, Stack, Strategy
from dicomnode.inference.boxes import clipped
from dicomnode.inference.engines import EngineWish
from dicomnode.inference.grey import grey_of
from dicomnode.inference.runtime import AsShown, Decoded

# The logit of pixels that cannot be inside; far beyond any sum of the terms below, so a threshold cannot reach it.
OUTSIDE = -20.0
# The outside is learnt from a ring as wide as this share of the box, and never narrower than so many pixels.
RING_SHARE, RING_PIXELS = 0.25, 2.0
# Grey values beyond these quantiles count as the quantile, so that metal or air do not take up the histogram.
LOW_QUANTILE, HIGH_QUANTILE = 0.005, 0.995
# Levels of the histograms, and the pixels of "no difference" mixed into each, so that a box of few pixels says little.
LEVELS, PSEUDO_PIXELS = 32, 30.0
# The most that one pixel's grey value can say, in nats.
EVIDENCE_LIMIT = 2.5
# The prior's logit in the core of the ellipse (and, negative, far out), and how steeply it changes sign at the rim.
PRIOR_LOGIT, PRIOR_STEEPNESS = 2.0, 3.0
# Inclinations of the ellipses tried, as the correlation of x and y: each of them touches all four sides of the box.
INCLINATIONS = (-0.95, -0.85, -0.7, -0.5, -0.25, 0.25, 0.5, 0.7, 0.85, 0.95)
# What an ellipse inclined by c must have over the upright one, in nats for each pixel of the box: this times |c|.
INCLINATION_COST = 0.1
# Smoothing of the evidence and of the neighbours' belief, in pixels of the finer spacing.
EVIDENCE_SIGMA, NEIGHBOUR_SIGMA = 1.0, 1.5
# The Gaussian's kernel: as wide as 2.5 sigma ask for at the most, and cut where less than this share is left.
KERNEL_WIDTH, KERNEL_ERROR = 17, 0.01
# Enough for the histograms to settle; measured, 3 to 8 rounds differ by less than 0.01 in Dice.
ROUNDS = 4
# Keeps pixel centres that lie on the ellipse inside it, however the division rounds.
RIM = 1e-9

IDENTITY = ModelIdentity(
    name="classical",
    version="1.0",
    family=Code(value="123105", scheme="DCM", meaning="Histogram Analysis"),  # PS3.16 CID 7162
    source="histogram region competition under an elliptic prior 1.0",
    parameters=(("levels", str(LEVELS)), ("rounds", str(ROUNDS)), ("prior", str(PRIOR_LOGIT))),
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlaneFeatures:
    """What the boxes of one plane have in common."""

    #: (row, column) float32, all finite
    image: NDArray[np.float32]
    #: (row, column) smoothing of one unit, in pixels: 1 along the axis of finer spacing
    unit: tuple[float, float]


class ClassicalRuntime:
    """Segment boxes on a plane with no weights, whatever the modality."""

    identity = IDENTITY
    least_side = 1.0  # so that a box holds the centre of a pixel; single pixels are seen
    box_strategy = Strategy.STATIC  # what it finds touches all sides of a box, and would grow from plane to plane
    fits = False  # it reaches them by itself
    batch = 1

    def look(self, stack: Stack, window: str, *, reference: bool) -> AsShown:  # noqa: ARG002 - it needs no window
        """Return how planes are looked at: as they are shown, as the histograms find their range themselves."""
        return AsShown()

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[PlaneFeatures]:
        """Return what does not depend on the boxes.

        `images` are as `grey_of` takes them; `spacing` (between rows, between columns) in mm.
        """
        finest = min(spacing)
        unit = (finest / spacing[0], finest / spacing[1])
        return [PlaneFeatures(image=grey_of(image), unit=unit) for image in images]

    def decode(self, features: PlaneFeatures, boxes: NDArray[np.float64]) -> Decoded:
        """Return logits, (box, row, column) float32, inside where > 0; no quality is predicted.

        `boxes` is (box, 4) float64: x0, y0, x1, y1 in continuous pixel-centre coordinates, clipped to the image.
        """
        logits = np.full((len(boxes), *features.image.shape), OUTSIDE, np.float32)
        for number, box in enumerate(boxes):
            _draw(logits[number], features, clipped(box, features.image.shape))
        return Decoded(logits=logits, quality=np.full(len(boxes), np.nan, np.float32))

    def size_of(self, features: PlaneFeatures) -> int:  # noqa: ARG002
        """Return 0: features are hardly more than the image, and not worth keeping."""
        return 0


def load(wish: EngineWish) -> ClassicalRuntime:  # noqa: ARG001 - it needs no engine
    """Return the model."""
    return ClassicalRuntime()


def _draw(plane: NDArray[np.float32], features: PlaneFeatures, box: NDArray[np.float64]) -> None:
    """Write the logits of one box into `plane`, (row, column) float32, where it is inside the box."""
    window = _window(box, plane.shape)
    y, x = np.ogrid[window]
    inside = (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])
    if not inside.any():
        return
    logits = _compete(_levels(features.image[window]), _radii(x, y, box), inside, features.unit)
    # A box is a promise that something is there: its likeliest pixel is inside even when none is likely.
    logits += max(0.0, RIM - float(logits[inside].max()))
    plane[window][inside] = logits[inside]


def _window(box: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of the box and the ring about it."""
    x0, y0, x1, y1 = box
    ring_x, ring_y = max(RING_PIXELS, RING_SHARE * (x1 - x0)), max(RING_PIXELS, RING_SHARE * (y1 - y0))
    rows = slice(max(0, int(np.floor(y0 - ring_y))), min(shape[0], int(np.ceil(y1 + ring_y)) + 1))
    columns = slice(max(0, int(np.floor(x0 - ring_x))), min(shape[1], int(np.ceil(x1 + ring_x)) + 1))
    return rows, columns


def _levels(crop: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Return the grey values as (row, column) float64, 0..LEVELS - 1; None if they are all the same."""
    grey = crop.astype(np.float64)
    low, high = np.quantile(grey, (LOW_QUANTILE, HIGH_QUANTILE))
    return np.clip((grey - low) / (high - low), 0, 1) * (LEVELS - 1) if high > low else None


def _radii(x: NDArray[np.int64], y: NDArray[np.int64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the radii under the upright, then each inclined ellipse: (ellipse, row, column) float64, 1 at the rim."""
    x0, y0, x1, y1 = box
    u, v = (x - (x0 + x1) / 2) / max((x1 - x0) / 2, 0.5), (y - (y0 + y1) / 2) / max((y1 - y0) / 2, 0.5)
    upright, skew = u * u + v * v, 2 * u * v
    squares = [upright, *((upright - c * skew) / (1 - c * c) for c in INCLINATIONS)]
    radii: NDArray[np.float64] = np.sqrt(np.stack(squares)) - RIM
    return radii


def _compete(
    levels: NDArray[np.float64] | None, radii: NDArray[np.float64], inside: NDArray[np.bool_], unit: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the logits after the rounds of competition: (row, column) float64."""
    logits = _prior(radii[0])
    if levels is None:
        return logits
    for _ in range(ROUNDS):
        belief = np.where(inside, 1 / (1 + np.exp(-logits)), 0.0)
        evidence = _blur(_log_ratio(levels, belief), EVIDENCE_SIGMA, unit)
        neighbours = 2 * _blur(belief, NEIGHBOUR_SIGMA, unit) - 1
        prior = _prior(radii[_likeliest(radii, evidence, inside)])
        logits = prior + evidence + neighbours
    return logits


def _prior(radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logit that the place alone gives."""
    logit: NDArray[np.float64] = PRIOR_LOGIT * np.tanh(PRIOR_STEEPNESS * (1 - radius))
    return logit


def _log_ratio(levels: NDArray[np.float64], belief: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much likelier each pixel's grey value is inside than outside: (row, column) float64, in nats."""
    within, without = _histogram(levels, belief), _histogram(levels, 1 - belief)
    both = (within + without) / belief.size
    within = (within + PSEUDO_PIXELS * both) / (within.sum() + PSEUDO_PIXELS)
    without = (without + PSEUDO_PIXELS * both) / (without.sum() + PSEUDO_PIXELS)
    tiny = np.finfo(np.float64).tiny
    ratio = np.clip(np.log((within + tiny) / (without + tiny)), -EVIDENCE_LIMIT, EVIDENCE_LIMIT)
    return np.asarray(np.interp(levels, np.arange(LEVELS), ratio), np.float64)


def _histogram(levels: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight at each level, a pixel shared by the two levels next to it: (level,) float64."""
    lower = np.minimum(levels.astype(np.intp), LEVELS - 2)
    upper_share = levels - lower
    count = np.zeros(LEVELS)
    count += np.bincount(lower.ravel(), (weights * (1 - upper_share)).ravel(), LEVELS)
    count += np.bincount(lower.ravel() + 1, (weights * upper_share).ravel(), LEVELS)
    return count


def _likeliest(radii: NDArray[np.float64], evidence: NDArray[np.float64], inside: NDArray[np.bool_]) -> int:
    """Return the index of the ellipse that holds the most evidence, less what its inclination costs."""
    found = np.where(inside, evidence, 0.0)
    gains = np.array([2 * np.sum(found, where=radius <= 1) for radius in radii]) / np.count_nonzero(inside)
    return int(np.argmax(gains - INCLINATION_COST * np.abs((0.0, *INCLINATIONS))))


def _blur(values: NDArray[np.float64], sigma: float, unit: tuple[float, float]) -> NDArray[np.float64]:
    """Return `values`, (row, column) float64, after a Gaussian that is round in millimetres; edges are repeated."""
    variance = [(sigma * unit[1]) ** 2, (sigma * unit[0]) ** 2]  # SimpleITK counts x, then y
    smoothed = sitk.DiscreteGaussian(
        sitk.GetImageFromArray(values),
        variance=variance,
        maximumKernelWidth=KERNEL_WIDTH,
        maximumError=KERNEL_ERROR,
        useImageSpacing=False,
    )
    return np.asarray(sitk.GetArrayFromImage(smoothed), np.float64)
