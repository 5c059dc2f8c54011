"""Try an imported model on an image that is always the same."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import Reason, Refused
from dicomnode.inference.engines import Device, Engine, EngineName, EngineWish, Precision, open_engine
from dicomnode.inference.layouts import DECODER_NAME, WEIGHTS_NAME

_SIDE = 256
_BOXES = ((40.0, 48.0, 120.0, 140.0), (100.5, 20.25, 230.0, 90.75), (0.0, 0.0, 255.0, 255.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """What a model gave for the image: whether all was finite, and the largest difference to torch's.

    That is None where torch is not installed, or the model has no weights but in its graphs.
    """

    engine: str
    finite: bool
    lowest: float
    highest: float
    torch_difference: float | None


Probe = Callable[[Path], Probed]


def probe_model(folder: Path) -> Probed:
    """Run the model in `folder` by the engine onnx, and by torch where it is installed, and compare the logits."""
    engine = open_engine(EngineWish(engine=EngineName.ONNX, device=Device.CPU), folder)
    logits, quality = _outputs(engine)
    found, expected = (logits.shape, quality.shape), ((len(_BOXES), _SIDE, _SIDE), (len(_BOXES),))
    if found != expected:
        detail = f"for {len(_BOXES)} boxes it gives logits {found[0]} and qualities {found[1]}; expected are {expected}"
        raise Refused(Reason.BAD_MODEL, str(folder / DECODER_NAME), detail)
    return Probed(
        engine=f"{engine.identity.engine.value} {engine.identity.version}",
        finite=bool(np.isfinite(logits).all() and np.isfinite(quality).all()),
        lowest=float(logits.min()),
        highest=float(logits.max()),
        torch_difference=_torch_difference(folder, logits),
    )


def _torch_difference(folder: Path, logits: NDArray[np.float32]) -> float | None:
    if importlib.util.find_spec("torch") is None or not (folder / WEIGHTS_NAME).exists():
        return None
    wish = EngineWish(engine=EngineName.TORCH, device=Device.CPU, precision=Precision.FP32)
    return float(np.abs(_outputs(open_engine(wish, folder))[0] - logits).max())


def _outputs(engine: Engine) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the logits, (box, 256, 256) float32, and qualities, (box,) float32, of some boxes on the image."""
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32) / _SIDE
    waves = [0.5 + 0.5 * np.sin(turns * x + turns * y * y) for turns in (9.0, 14.0, 23.0)]
    (features,) = engine.encode(np.stack(waves).astype(np.float32)[np.newaxis])
    return engine.decode(features, np.array(_BOXES, np.float32))
