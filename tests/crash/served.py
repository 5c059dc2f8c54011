"""A node that is killed and started again: the installed command, its settings, its log, and who ends it."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dicomnode.network.associations import Peer
from tests.serving import COMMAND, free_port


@dataclass(kw_only=True, slots=True)
class Served:
    """A node in `folder`, in a group of processes of its own, ended with its context; its data lie in disk/data."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    ended: list[int] = field(default_factory=list)  # with which exit codes it ended although nobody killed it
    _process: "subprocess.Popen[bytes] | None" = None
    _begun: int = 0  # where the log of its latest start begins

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self.kill(group=True)

    @property
    def data(self) -> Path:
        """Return its data folder."""
        return self.folder / "disk" / "data"

    @property
    def log(self) -> Path:
        """Return the file that it logs to."""
        return self.folder / "node.log"

    def prepare(self, pacs: Peer, *, quiet_seconds: float, incomplete_seconds: float, listeners: int = 1) -> None:
        """Write the settings of a node that sends SEGs to `pacs`, and listens with so many processes."""
        self.data.parent.mkdir()
        settings = f"""
            [node]
            data_dir = "{self.data}"
            [listener]
            host = "127.0.0.1"
            port = {self.port}
            processes = {listeners}
            [readiness]
            quiet_seconds = {quiet_seconds}
            incomplete_seconds = {incomplete_seconds}
            [delivery]
            first_retry_seconds = 0.5
            longest_retry_seconds = 4.0
            probe_seconds = 1.0
            proof_seconds = 10.0
            [storage]
            stop_free_gib = 0
            clean_free_gib = 0
            [[destinations]]
            name = "pacs"
            ae_title = "{pacs.ae_title}"
            host = "{pacs.host}"
            port = {pacs.port}
        """
        self._settings.write_text("\n".join(line.strip() for line in settings.splitlines()))

    def start(self) -> None:
        """Start it, and do not wait until it listens."""
        self._begun = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [COMMAND, "serve", "--config", self._settings],
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def has_said(self, action: str) -> bool:
        """Return whether it has logged `action` since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self._begun)
            return f" {action} ".encode() in log.read()

    def waits(self, action: str, seconds: float) -> bool:
        """Wait until it has logged `action`; return whether it has, within `seconds` and while it ran."""
        deadline = time.monotonic() + seconds
        while not self.has_said(action):
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def kill(self, *, group: bool) -> None:
        """End it at once: the process that listens, or its children with it."""
        if (code := self.process.poll()) is not None:
            self.ended.append(code)
        elif group:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()
        if group:
            self._wait_for_children()

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        if code := self.process.wait(60):
            self.ended.append(code)

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """Return its latest process."""
        assert self._process is not None
        return self._process

    def _wait_for_children(self) -> None:
        """Wait until no process of its group is left: they die after it, and a zombie holds no file."""
        deadline = time.monotonic() + 5
        with suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(self.process.pid, 0)
                time.sleep(0.01)

    @property
    def _settings(self) -> Path:
        return self.folder / "dicomnode.toml"
