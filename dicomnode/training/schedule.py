"""How long, how fast and where a network is trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import cos, pi
from typing import Any

from dicomnode.errors import SettingsError
from dicomnode.inference.engines import Device, Precision

Setting = str | int | float | bool | None

PRECISIONS = (Precision.FP32, Precision.BF16, Precision.FP16)
DEVICES = (Device.CPU, Device.CUDA)
_FREE = frozenset({"workers", "checkpoint_every"})  # what changes nothing that is learnt


class Tail(StrEnum):
    """How the rate falls: along half a cosine to 0, or by a factor when the validation loss no longer falls."""

    COSINE = "cosine"
    PLATEAU = "plateau"


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How a network is trained.

    `rate` is AdamW's greatest, reached after `warm_up` steps; `factor` and `patience`, in validations, are those of a
    plateau. `ema` is the decay of the moving average of the weights, which is then what is validated and kept as best;
    `clip` the greatest norm of the gradients. `workers` processes make batches ahead, 0 none. `gpus` processes train
    side by side, each on the batch of its own that its device takes. Precision fp16 scales the loss.
    """

    steps: int
    rate: float
    weight_decay: float = 0.01
    warm_up: int = 0
    tail: Tail = Tail.COSINE
    factor: float = 0.9
    patience: int = 5
    ema: float | None = None
    precision: Precision = Precision.FP32
    clip: float | None = None
    validate_every: int = 100
    checkpoint_every: int = 100
    workers: int = 0
    seed: int = 0
    channels_last: bool = False
    device: Device = Device.CPU
    gpus: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        counts = ("steps", "validate_every", "checkpoint_every", "gpus")
        for name, least in (*((count, 1) for count in counts), ("warm_up", 0), ("workers", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} {getattr(self, name)}", f"at least {least} is allowed")
        if not self.rate > 0:
            raise SettingsError(f"rate {self.rate}", "it is greater than 0")
        if self.ema is not None and not 0 < self.ema < 1:
            raise SettingsError(f"ema {self.ema}", "a decay lies between 0 and 1")
        for name, allowed in (("precision", PRECISIONS), ("device", DEVICES)):
            if getattr(self, name) not in allowed:
                raise SettingsError(f"{name} {getattr(self, name).value!r}", f"allowed are {', '.join(allowed)}")

    def rate_at(self, step: int) -> float:
        """Return the rate of step `step`, counted from 0; what a plateau makes of it is left out."""
        rate = self.rate * min(1.0, (step + 1) / self.warm_up) if self.warm_up else self.rate
        return rate * (0.5 + 0.5 * cos(pi * step / self.steps)) if self.tail is Tail.COSINE else rate


def settings_of(schedule: Schedule, others: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return all that decides what is learnt, by name: of `schedule` and, of the task, `others`."""
    free = _FREE | ({"steps"} if schedule.tail is Tail.PLATEAU else set())
    values: dict[str, Any] = {name: value for name, value in asdict(schedule).items() if name not in free}
    plain = {name: value.value if isinstance(value, StrEnum) else value for name, value in values.items()}
    return {**plain, **others}


def check_same(kept: Mapping[str, Setting], now: Mapping[str, Setting], what: str) -> None:
    """Refuse to go on with `what` if a setting is not what it was kept with: the error names each, and both values."""
    changed = [
        f"{name} was {kept.get(name)!r} and is {now.get(name)!r}"
        for name in sorted({*kept, *now})
        if kept.get(name) != now.get(name)
    ]
    if changed:
        raise SettingsError(what, f"a run goes on with the settings it began with: {'; '.join(changed)}")
