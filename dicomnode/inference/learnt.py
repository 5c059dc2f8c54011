"""What models with learnt weights have in common: how results name them, and that they answer numbers."""

import numpy as np

from dicomnode.domain import Code, ModelIdentity
from dicomnode.errors import Reason, Refused
from dicomnode.inference.engines import Answers, EngineIdentity

_FAMILY = Code(value="123110", scheme="DCM", meaning="Artificial Intelligence")  # PS3.16 CID 7162
_VERSION_LENGTH = 12  # characters of the weights' sha256, which tells versions apart


def identity_of(name: str, weights: str, chosen: EngineIdentity, *more: tuple[str, str]) -> ModelIdentity:
    """Return what identifies the model `name` with the sha256 `weights` on an engine, and `more` parameters."""
    parameters = (
        ("weights", f"sha256:{weights}"),
        ("engine", f"{chosen.engine.value} {chosen.version}"),
        ("device", chosen.device.value),
        ("precision", chosen.precision.value),
        ("chosen", chosen.reason),
        *((("quantised", chosen.derived),) if chosen.derived else ()),
        *more,
    )
    return ModelIdentity(
        name=name, version=weights[:_VERSION_LENGTH], family=_FAMILY, source=weights, parameters=parameters
    )


def check_numbers(answers: Answers, name: str, engine: EngineIdentity) -> Answers:
    """Return `answers` of the model `name`; what is no number is refused as BAD_MODEL."""
    if not all(np.isfinite(one).all() for one in answers):
        detail = f"engine {engine.engine.value} in {engine.precision.value} answers what is no number"
        raise Refused(Reason.BAD_MODEL, f"model {name!r}", detail)
    return answers
