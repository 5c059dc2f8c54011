"""Say in which colours masks and boxes are shown: the same in all objects."""

from collections.abc import Sequence
from dataclasses import replace

from dicomnode.domain import Mask, Prompt

Colour = tuple[int, int, int]  # red, green and blue, 0 to 255

BOX_COLOUR: Colour = (255, 210, 0)
# for masks whose annotation has no colour; they take turns
_PALETTE = ((0, 255, 0), (255, 80, 80), (230, 100, 255), (255, 150, 40), (120, 255, 220), (150, 150, 255))


def colour_of(number: int, prompt: Prompt) -> Colour:
    """Return the colour of mask `number`, counted from 1: that of its annotation, else one of a palette."""
    return prompt.colour or _PALETTE[(number - 1) % len(_PALETTE)]


def coloured(masks: Sequence[Mask]) -> tuple[Mask, ...]:
    """Return `masks`, each with a colour, which it keeps where others are left out."""
    return tuple(
        replace(mask, prompt=replace(mask.prompt, colour=colour_of(number, mask.prompt)))
        for number, mask in enumerate(masks, start=1)
    )
