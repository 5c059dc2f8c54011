"""What is asked of a fine-tuning; nothing here needs torch."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from dicomnode.errors import SettingsError
from dicomnode.inference.engines import Device, Precision
from dicomnode.inference.windows import AUTO

RANDOM = "random"  # instead of a model: weights drawn at random
EPOCHS, SHARE = 10, 0.2


class Frozen(StrEnum):
    """A part of the network that stays as it is; DECODER with what encodes prompts."""

    NOTHING = "nothing"
    ENCODER = "encoder"
    DECODER = "decoder"


@dataclass(frozen=True, kw_only=True, slots=True)
class Variation:
    """How samples are drawn: the seed, so many planes at a time, boxes up to `box_shift` pixels of 256 too large."""

    seed: int = 0
    batch: int = 4
    box_shift: int = 5

    def __post_init__(self) -> None:
        """Refuse numbers that show nothing."""
        for name, least in (("seed", 0), ("batch", 1), ("box_shift", 0)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} {getattr(self, name)}", f"at least {least} is allowed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What of the values is seen: a window, and the modality of files that do not say it ('' where they may)."""

    window: str = AUTO
    modality: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """Where the truth lies: `data` to train on, and what of it, or which other, to validate on.

    `validation` is a share of the cases, or the name of a folder or file.
    """

    data: tuple[str, ...]
    validation: str = str(SHARE)
    sight: Sight = field(default_factory=Sight)

    def share(self) -> float | None:
        """Return the share of the cases to validate on, None where others are named; it lies between 0 and 1."""
        try:
            share = float(self.validation)
        except ValueError:
            return None
        if not 0 < share < 1:
            raise SettingsError(f"validation {self.validation}", "a share lies between 0 and 1")
        return share


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How long and how fast is trained, and where; without `steps`, so many times over all planes.

    `validate_every` steps the network is validated and kept, None once a time over all planes.
    """

    epochs: float = EPOCHS
    steps: int | None = None
    rate: float = 5e-5
    validate_every: int | None = None
    device: Device = Device.AUTO
    precision: Precision = Precision.AUTO
    gpus: int = 1
    workers: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneWish:
    """What is asked for: `model` is the name of an imported one, a file of weights, or RANDOM.

    All that is kept lies in `folder`; `resume` goes on with what lies there.
    """

    model: str
    truth: Truth
    folder: Path
    pace: Pace = field(default_factory=Pace)
    variation: Variation = field(default_factory=Variation)
    frozen: Frozen = Frozen.NOTHING
    resume: bool = False
