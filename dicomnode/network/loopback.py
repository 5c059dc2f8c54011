"""A small PACS on this machine: it keeps what it is sent in a folder, for the demo, for tests and for trying out."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Condition
from types import TracebackType
from typing import Self

from pynetdicom.presentation import PresentationContext

from dicomnode.domain import AssociationEnd
from dicomnode.network.associations import Peer
from dicomnode.network.listener import Hooks, Listener, Service
from dicomnode.network.part10 import StoreRequest, header_of
from dicomnode.network.storing import Chunk


class Loopback:
    """A storage SCP on a free port of 127.0.0.1, listening while it is entered.

    `refuse`, if given, sees each object before it is kept, and raises what is to be answered instead of success.
    `services` are what it does besides, as those of `loopback_services`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "LOOPBACK",
        port: int = 0,
        contexts: list[PresentationContext] | None = None,
        refuse: Callable[[StoreRequest, bytes], None] | None = None,
        services: Sequence[Service] = (),
    ) -> None:
        self._folder = folder
        self._refuse = refuse
        self._changed = Condition()
        self._received: list[Path] = []
        self._ended: list[AssociationEnd] = []
        hooks = Hooks(opened=lambda _caller: 0, closed=self._close, receive=self._keep)
        self._listener = Listener(ae_title, ("127.0.0.1", port), hooks, contexts=contexts, services=services)
        self.peer = Peer(ae_title=ae_title, host="127.0.0.1", port=self._listener.port)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._listener.stop(patience=1)

    @property
    def received(self) -> tuple[Path, ...]:
        """Return the files, in the order they came; an object sent twice is there twice."""
        with self._changed:
            return tuple(self._received)

    @property
    def ended(self) -> tuple[AssociationEnd, ...]:
        """Return how the associations ended, in order."""
        with self._changed:
            return tuple(self._ended)

    def wait_for(self, count: int, timeout: float) -> tuple[Path, ...]:
        """Return the files once there are `count`; raise TimeoutError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._received) >= count, timeout):
                raise TimeoutError(f"{len(self._received)} of {count} objects came within {timeout:g} s")
            return tuple(self._received)

    def _keep(self, request: StoreRequest, chunks: Iterable[Chunk]) -> None:
        data_set = b"".join(map(bytes, chunks))
        if self._refuse is not None:
            self._refuse(request, data_set)
        path = self._folder / f"{request.sop_instance_uid}.dcm"
        path.write_bytes(header_of(request) + data_set)
        with self._changed:
            self._received.append(path)
            self._changed.notify_all()

    def _close(self, _association_id: int, ended: AssociationEnd) -> None:
        with self._changed:
            self._ended.append(ended)
            self._changed.notify_all()
