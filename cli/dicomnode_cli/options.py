"""What several commands share: their arguments and options, and the settings that count where the command runs."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from dicomnode.domain import FOLLOW, JobOptions, Strategy
from dicomnode.errors import SettingsError
from dicomnode.inference.engines import Device, EngineName, Precision
from dicomnode.inference.loading import ModelWish
from dicomnode.inference.windows import ALLOWED, AUTO, parse_window
from dicomnode.settings import Loaded, Settings, Surroundings, load

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings file; without it, `dicomnode config show` says which."),
]
PathsArgument = Annotated[
    list[Path], typer.Argument(metavar="PATH...", exists=True, help="Folders or files with images and annotations.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]


def _check_pattern(pattern: str | None) -> str | None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise typer.BadParameter(f"{pattern!r} is no regular expression: {error}") from error
    return pattern


def _check_margin(margin: float | None) -> float | None:
    if margin is not None and not (math.isfinite(margin) and margin >= 0):
        raise typer.BadParameter(f"{margin} is no number of millimetres, 0 or more")
    return margin


def _check_reach(reach: str | None) -> str | None:
    if reach is not None and reach != "auto" and not re.fullmatch("[0-9]{1,6}", reach):
        raise typer.BadParameter(f"{reach!r} is no number of planes, 0 or more, nor auto")
    return reach


def _check_window(window: str | None) -> str | None:
    try:
        parse_window(window or AUTO)
    except SettingsError as error:
        raise typer.BadParameter(f"{error.what}: {error.detail}") from error
    return window


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptOptions:
    """How annotations are to be read, as far as the command line says; each field is an option of the commands."""

    roi: Annotated[
        str | None,
        typer.Option(
            "--roi", metavar="REGEX", callback=_check_pattern, help="Only regions whose whole name or number matches."
        ),
    ] = None
    roi_type: Annotated[
        list[str] | None,
        typer.Option("--roi-type", metavar="TYPE", help="Also RTSTRUCT regions of this type, such as EXTERNAL."),
    ] = None
    margin: Annotated[
        float | None,
        typer.Option("--margin", metavar="MM", callback=_check_margin, help="Widen each box so much on every side."),
    ] = None
    no_interpolation: Annotated[
        bool, typer.Option("--no-interpolation", help="No boxes on planes left out between drawn ones.")
    ] = False
    split_components: Annotated[
        bool, typer.Option("--split-components", help="A segment for each island of a region.")
    ] = False
    length_as_box: Annotated[
        bool, typer.Option("--length-as-box", help="Take a measured length for the side of a square.")
    ] = False
    ohif_swap_spacing: Annotated[
        bool, typer.Option("--ohif-swap-spacing", help="Undo OHIF's swap of spacings where pixels are not square.")
    ] = False
    own_results: Annotated[
        bool, typer.Option("--own-results", help="Take segmentations that dicomnode made for annotations, too.")
    ] = False

    def over(self, settings: Settings) -> JobOptions:
        """Return what is asked of each job: by these options, else by `settings`."""
        options = settings.job_options()
        return replace(
            options,
            roi=self.roi or options.roi,
            roi_types=(*options.roi_types, *(one.strip().upper() for one in self.roi_type or ())),
            margin_mm=options.margin_mm if self.margin is None else self.margin,
            interpolate=options.interpolate and not self.no_interpolation,
            split_components=options.split_components or self.split_components,
            length_as_box=options.length_as_box or self.length_as_box,
            swap_spacing=options.swap_spacing or self.ohif_swap_spacing,
        )

    def takes_own_results(self, settings: Settings) -> bool:
        """Return whether what dicomnode made is a prompt: by these options, else by `settings`."""
        return self.own_results or settings.prompts.own_results


@dataclass(frozen=True, kw_only=True, slots=True)
class StrategyOptions:
    """How boxes are to become masks, as far as the command line says; each field is an option of the command."""

    strategy: Annotated[
        Strategy | None,
        typer.Option("--strategy", metavar="NAME", help=f"How boxes become masks: {', '.join(Strategy)}."),
    ] = None
    propagate: Annotated[
        str | None,
        typer.Option(
            "--propagate",
            metavar="N|auto",
            callback=_check_reach,
            help="Follow objects on so many planes beyond their boxes, or as far as they are found.",
        ),
    ] = None
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            metavar="NAME|LEVEL/WIDTH",
            callback=_check_window,
            help=f"Which values the model sees: {ALLOWED}.",
        ),
    ] = None

    engine: Annotated[
        EngineName | None,
        typer.Option("--engine", metavar="NAME", help=f"What runs the model: {', '.join(EngineName)}."),
    ] = None
    device: Annotated[
        Device | None, typer.Option("--device", metavar="NAME", help=f"Where it runs: {', '.join(Device)}.")
    ] = None
    precision: Annotated[
        Precision | None,
        typer.Option("--precision", metavar="NAME", help=f"What it computes in: {', '.join(Precision)}."),
    ] = None

    def model(self, name: str | None, settings: Settings) -> ModelWish:
        """Return which model is wished for, `name` or the settings', and how it shall run."""
        wish = settings.model_wish()
        said = {"engine": self.engine, "device": self.device, "precision": self.precision}
        engine = replace(wish.engine, **{key: value for key, value in said.items() if value is not None})  # type: ignore[arg-type]
        return replace(wish, name=name or wish.name, engine=engine)

    def over(self, options: JobOptions) -> JobOptions:
        """Return `options` with what is said here in place of what they, and their rules, ask for."""
        reach = None if self.propagate is None else FOLLOW if self.propagate == "auto" else int(self.propagate)
        said = {"strategy": self.strategy, "propagate": reach, "window": self.window}
        given = {name: value for name, value in said.items() if value is not None}
        rules = tuple(replace(rule, **dict.fromkeys(given)) for rule in options.rules)  # type: ignore[arg-type]
        return replace(options, rules=rules, **given)  # type: ignore[arg-type]


def with_options(**groups: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of the dataclasses `groups`, which reach it as arguments so named."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in signature(command).parameters.values() if one.name not in groups]
        shared = [
            Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
            for group in groups.values()
            for one in fields(group)
        ]

        @wraps(command)
        def wrapped(**given: Any) -> None:  # noqa: ANN401 - whatever the options are
            made = {
                name: group(**{one.name: given.pop(one.name) for one in fields(group)})
                for name, group in groups.items()
            }
            command(**given, **made)

        wrapped.__signature__ = signature(command).replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
        return wrapped

    return decorate


def surroundings() -> Surroundings:
    """Return the variables of this process and the folder it runs in."""
    return Surroundings(environment=os.environ, folder=Path.cwd())


def load_settings(explicit: Path | None) -> Loaded:
    """Return the settings that count here."""
    return load(explicit, surroundings())
