"""Commands that are imported when they are called, so that `dicomnode --help` answers at once."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


class Lazy(NamedTuple):
    """Where a command is: its module, the function or Typer app in it, and the line that `--help` shows of it."""

    module: str
    attribute: str
    summary: str


class LazyGroup(TyperGroup):
    """A group whose commands stand in a table; listing them imports none of them."""

    table: ClassVar[Mapping[str, Lazy]] = {}

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's own signature
        listed = {name: TyperCommand(name, help=lazy.summary) for name, lazy in self.table.items()}
        super().__init__(**{**attributes, "commands": listed})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401
        """Return the command that `args` begin with, imported, and the arguments left for it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if command is None or name is None else self.load(name), rest

    def load(self, name: str) -> Any:  # noqa: ANN401
        """Import the command `name`."""
        lazy = self.table[name]
        found = getattr(import_module(lazy.module), lazy.attribute)
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
            app.command(name)(found)
            found = app
        command = get_command(found)
        command.name = name
        return command
