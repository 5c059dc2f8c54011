"""The rules of the settings file: what is asked of some prompts only."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from dicomnode.domain import FOLLOW, Rule, Strategy
from dicomnode.settings.table import (
    REACH,
    REGULAR_EXPRESSION,
    WINDOW,
    Reach,
    RegularExpression,
    Table,
    Window,
    matching,
)

STRATEGIES = f"one of: {', '.join(Strategy)}"


def _code_strings(texts: Sequence[str]) -> Sequence[str]:
    return [matching(text.strip().upper(), r"[A-Z0-9_ ]{1,16}") for text in texts]


CodeStrings = Annotated[Sequence[str], AfterValidator(_code_strings)]


class ModelRule(Table):
    """What is asked of the prompts that a rule fits: those on such a stack, of such a name; it asks for something."""

    modality: CodeStrings = Field(default=[], description='a list of modalities, such as ["CT", "MR"]')
    body_part: CodeStrings = Field(default=[], description='a list of body parts (PS3.16 annex L), such as ["CHEST"]')
    roi: RegularExpression | None = Field(default=None, description=REGULAR_EXPRESSION)
    window: Window | None = Field(default=None, description=WINDOW)
    strategy: Strategy | None = Field(default=None, strict=False, description=STRATEGIES)
    propagate: Reach | None = Field(default=None, description=REACH)

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.window is None and self.strategy is None and self.propagate is None:
            raise PydanticCustomError("rule", "it has no window, strategy or propagate", {})
        if self.window is not None and self.roi is not None:
            raise PydanticCustomError("rule", "a window is of a whole stack, so that it goes without roi", {})
        return self

    def value(self) -> Rule:
        """Return the rule as jobs take it."""
        return Rule(
            modality=tuple(self.modality),
            body_part=tuple(self.body_part),
            roi=self.roi,
            window=self.window,
            strategy=self.strategy,
            propagate=None if self.propagate is None else planes_of(self.propagate),
        )


def planes_of(reach: int | str) -> int:
    """Return the number of planes that `reach` stands for, FOLLOW for "auto"."""
    return reach if isinstance(reach, int) else FOLLOW
