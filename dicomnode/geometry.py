"""Where the planes of a stack lie: facts, distances between them, the slab each one stands for, and volumes."""

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Fact, Mask, Stack

SAME_POSITION_MM = 1e-3
_GAP_TOLERANCE_MM = 0.1  # positions rounded to 0.1 mm are everyday scanners' rounding
_GAP_TOLERANCE = 0.05
_LAST_BITS_MM = 1e-6  # so that a tenth is a tenth, whatever the last bits of a difference say
_WIDER = 1.5  # times a step: what is wider is no step with rounding
_SHEAR_DEGREES = 0.5


def facts_of(
    positions: NDArray[np.float64], normal: NDArray[np.float64], thicknesses: NDArray[np.float64]
) -> frozenset[Fact]:
    """Return the facts of planes at `positions`, (plane, 3) in mm, ascending along the unit vector `normal`.

    `thicknesses` are the planes' own, (plane,) in mm, NaN where not known.
    """
    if len(positions) == 1:
        return frozenset({Fact.SINGLE_PLANE})
    gaps = np.diff(positions @ normal)
    facts = set()
    if np.any(multiples(gaps, thicknesses) > 1):
        facts.add(Fact.MISSING_SLICES)
    if np.max(np.abs(gaps - _typical(gaps))) > _tolerance(_typical(gaps)) or _leaves_the_line(positions, normal):
        facts.add(Fact.IRREGULAR)
    if _is_sheared(positions, normal):
        facts.add(Fact.SHEARED)
    return frozenset(facts or {Fact.REGULAR})


def multiples(gaps: NDArray[np.float64], thicknesses: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many steps each gap is: 2 where one slice is missing; 1 where it is no whole multiple.

    A step is the typical gap, and wider where the slices are thicker: a scan may go on in thicker slices.
    """
    step = _typical(gaps) * _relative(thicknesses)
    steps = np.maximum(1, np.round(gaps / step)).astype(np.int64)
    whole = np.abs(gaps / steps - step) <= _tolerance(step)
    return np.where(whole, steps, 1)


def local_gaps(heights: NDArray[np.float64], thicknesses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the slice distance that holds round each plane, (plane, 2): below and above it, in mm.

    Where slices are missing, the distance is that of the steps: a plane stands for its own slice only.
    A single plane stands for its thickness, or 1 mm.
    """
    if len(heights) == 1:
        return np.full((1, 2), thicknesses[0] if thicknesses[0] > 0 else 1.0)
    gaps = np.diff(heights)
    gaps = gaps / multiples(gaps, thicknesses)
    return np.column_stack([np.concatenate([gaps[:1], gaps]), np.concatenate([gaps, gaps[-1:]])])


def slab_depths(stack: Stack) -> NDArray[np.float64]:
    """Return how thick a slab each plane stands for, (plane,) float64 in mm: half the way to each neighbour.

    Where slices are missing, a plane stands for its own slice only.
    """
    return np.asarray(local_gaps(stack.heights(), stack.thicknesses()).mean(axis=1))


def volume_of(mask: Mask, stack: Stack) -> float | None:
    """Return how large `mask` is in ml: voxels x pixel area x slab depth; None where planes have no place."""
    if stack.frame_of_reference_uid is None:
        return None
    depths = slab_depths(stack)
    volume = sum(
        np.count_nonzero(inside) * stack.planes[index].spacing[0] * stack.planes[index].spacing[1] * depths[index]
        for index, inside in mask.planes.items()
    )
    return float(volume) / 1000


def _typical(gaps: NDArray[np.float64]) -> float:
    """Return the median of `gaps`; where it lies between a step and a double step it is the step."""
    low, high = (float(np.percentile(gaps, 50, method=which)) for which in ("lower", "higher"))
    return (low + high) / 2 if high < _WIDER * low else low


def _tolerance(step: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a gap may lie from `step` and still count as equal, in mm."""
    return np.maximum(_GAP_TOLERANCE_MM, _GAP_TOLERANCE * np.asarray(step)) + _LAST_BITS_MM


def _relative(thicknesses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how thick the slices are on both sides of each gap, (plane - 1,), 1 being the typical thickness."""
    if not (thicknesses > 0).all():  # NaN where one is not known
        return np.ones(len(thicknesses) - 1)
    relative = thicknesses / _typical(thicknesses)
    return np.asarray((relative[:-1] + relative[1:]) / 2)


def _leaves_the_line(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> bool:
    """Return whether planes lie beside the straight line from the first to the last, or drift along it by half a gap.

    One matrix could not say where the voxels of such a stack lie.
    """
    line = positions[0] + np.linspace(0, 1, len(positions))[:, None] * (positions[-1] - positions[0])
    heights = (positions - line) @ normal
    beside = np.linalg.norm(positions - line - heights[:, None] * normal, axis=1)
    step = float(abs((positions[-1] - positions[0]) @ normal)) / (len(positions) - 1)
    return bool(np.max(beside) > _tolerance(step) or np.max(np.abs(heights)) > step / 2)


def _is_sheared(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> bool:
    """Return whether the way from plane to plane leans from the normal by more than half a degree (gantry tilt)."""
    way = positions[-1] - positions[0]
    along = float(way @ normal)
    across = float(np.linalg.norm(way - along * normal))
    return bool(across > np.tan(np.radians(_SHEAR_DEGREES)) * abs(along))


def spacing_of(stack: Stack) -> tuple[float | None, float, float]:
    """Return the distances between planes, rows and columns; between planes None where it is not one and the same.

    In mm where the stack has a place, else as far as the header knows them.
    """
    between_rows, between_columns = stack.planes[0].spacing
    uneven = Fact.IRREGULAR in stack.facts or Fact.MISSING_SLICES in stack.facts
    if stack.frame_of_reference_uid is None or len(stack.planes) == 1 or uneven:
        return None, between_rows, between_columns
    return float(stack.gaps().mean()), between_rows, between_columns


def affine_of(stack: Stack) -> NDArray[np.float64] | None:
    """Return what maps (column, row, plane, 1) to the patient's axes (LPS), (4, 4) float64 in mm (PS3.3 C.7.6.2.1.1).

    None unless the stack is regular: where planes are missing, uneven, sheared or single, no one matrix holds.
    """
    if Fact.REGULAR not in stack.facts:
        return None
    first, last = stack.planes[0], stack.planes[-1]
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.orientation[:3]) * first.spacing[1]
    affine[:3, 1] = np.array(first.orientation[3:]) * first.spacing[0]
    affine[:3, 2] = np.subtract(last.position, first.position) / (len(stack.planes) - 1)
    affine[:3, 3] = first.position
    return affine
