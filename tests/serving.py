"""Run `dicomnode serve` as its user does, in a process of its own."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from dicomnode.domain import ObjectKind
from dicomnode.network.associations import Peer
from dicomnode.store.database import Database

COMMAND = Path(sys.executable).parent / "dicomnode"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """The settings file of a node, and where it will listen and log."""

    folder: Path
    port: int
    quiet_seconds: float

    @property
    def peer(self) -> Peer:
        """Return the node as others see it."""
        return Peer(ae_title="DICOMNODE", host="127.0.0.1", port=self.port)

    @property
    def log(self) -> str:
        """Return what it logged."""
        return (self.folder / "node.log").read_text()

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Lend the process of the node, listening; it is killed at the end if it still runs."""
        started = self.log.count("node_started") if (self.folder / "node.log").exists() else 0
        with (
            (self.folder / "node.log").open("ab") as log,
            subprocess.Popen([COMMAND, "serve", "--config", self.folder / "dicomnode.toml"], stderr=log) as process,
        ):
            try:
                until(lambda: self.log.count("node_started") > started or process.poll() is not None, 60)
                assert process.poll() is None, self.log
                yield process
            finally:
                process.kill()

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Lend its database."""
        database = Database(self.folder / "data" / "dicomnode.sqlite")
        yield database
        database.close()


def serving(
    folder: Path,
    *destinations: Peer,
    quiet_seconds: float,
    seg: Sequence[str] = ("binary",),
    objects: Sequence[ObjectKind] = (ObjectKind.SEG,),
    listener: Mapping[str, Any] = MappingProxyType({}),
    more: str = "",
) -> Serving:
    """Write the settings file of a node that sends `objects` to `destinations`, of its SEGs the first of the forms.

    `listener` holds settings of that table, a port too where it is not to be any; `more` is put behind all.
    """
    listener = {"port": free_port(), **listener}
    lines = [
        "[node]",
        f'data_dir = "{folder / "data"}"',
        "[listener]",
        'host = "127.0.0.1"',
        *(f"{name} = {json.dumps(value)}" for name, value in listener.items()),
        "[readiness]",
        f"quiet_seconds = {quiet_seconds}",
    ]
    for number, peer in enumerate(destinations):
        lines += ["[[destinations]]", f'name = "pacs-{number}"', f'ae_title = "{peer.ae_title}"']
        lines += [f'host = "{peer.host}"', f"port = {peer.port}", 'profile = "tested"']
    lines += ["[[profiles]]", 'name = "tested"', f"objects = {[str(kind) for kind in objects]}", f"seg = {[*seg]}"]
    (folder / "dicomnode.toml").write_text("\n".join([*lines, more]))
    return Serving(folder=folder, port=listener["port"], quiet_seconds=quiet_seconds)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def until(condition: Callable[[], T], seconds: float) -> T:
    """Return what `condition` returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come true within {seconds:g} s"
        time.sleep(0.05)
    return found
