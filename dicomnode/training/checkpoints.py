"""Keep what a training has come to in a file, whole or as it was before."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dicomnode.errors import Reason, Refused

LATEST_NAME, BEST_NAME = "latest.pt", "best.pt"

Content = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """The step after which the validation loss was least, and the figures there."""

    step: int
    figures: Mapping[str, float]


def write_checkpoint(content: Mapping[str, object], path: Path) -> None:
    """Write `content` to the file at `path`: whoever looks finds all of it or what was there before."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        torch.save(dict(content), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_checkpoint(path: Path) -> Content | None:
    """Return what is in the file at `path`, on the CPU, None where there is none; what is damaged is refused."""
    try:
        content: Content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except (EOFError, RuntimeError, ValueError, OSError) as error:
        raise Refused(Reason.BAD_MODEL, str(path), f"it is no checkpoint of a training: {error}") from error
    return content
