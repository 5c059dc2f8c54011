"""Draw a sheet of synthetic scenes as `box-unet` sees them, each beside itself with the truth outlined, to look at.

`python tests/bench/scene_sheet.py FILE` writes a PNG of 100 scenes of all kinds; `FILE KIND` one of that kind alone.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicomnode.inference.crops import crops_of, resampled
from dicomnode.training.boxes import extent_of
from dicomnode.training.scenes import Scene, drawn, drawn_as

COUNT, ACROSS, SEED = 100, 10, 0
RED = (255, 60, 0)


def main(file: Path, kind: str | None) -> None:
    """Write the sheet, always of the same scenes."""
    generator = np.random.default_rng(SEED)
    tiles = [tile(drawn_as(kind, generator) if kind else drawn(generator)) for _ in range(COUNT)]
    rows = [np.concatenate(tiles[start : start + ACROSS], axis=1) for start in range(0, COUNT, ACROSS)]
    Image.fromarray(np.concatenate(rows)).save(file)


def tile(scene: Scene) -> NDArray[np.uint8]:
    """Return the crop about the truth's extent, twice side by side: (64, 128, 3) uint8."""
    box = extent_of(scene.truth)
    grey = ((crops_of(scene.image, box[None])[0, 0] + 1) * 127.5).astype(np.uint8)
    plain = np.repeat(grey[..., None], 3, axis=2)
    outlined = plain.copy()
    outlined[outline_of(resampled(scene.truth.astype(np.float32), box) > 0.5)] = RED
    return np.concatenate([plain, outlined], axis=1)


def outline_of(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of `inside`, (64, 64) bool, that have a neighbour outside."""
    wide = np.pad(inside, 1)
    core = wide[1:-1, :-2] & wide[1:-1, 2:] & wide[:-2, 1:-1] & wide[2:, 1:-1]
    return inside & ~core


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
