"""Listeners that note or keep what they get, and senders that say anything to them."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
)
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.dsutils import encode

from dicomnode.domain import AssociationEnd, Uid
from dicomnode.network.admission import Caller
from dicomnode.network.listener import Hooks, Listener
from dicomnode.network.part10 import StoreRequest, header_of
from dicomnode.network.storing import Chunk
from dicomnode.store.desk import Desk
from dicomnode.store.spool import Part, Spool


@dataclass
class Notes:
    """What a listener told."""

    opened: list[str] = field(default_factory=list)
    closed: list[AssociationEnd] = field(default_factory=list)
    received: list[tuple[StoreRequest, bytes]] = field(default_factory=list)

    def hooks(self) -> Hooks:
        return Hooks(opened=self.open, closed=self.close, receive=self.receive)

    def receive(self, request: StoreRequest, data_set: Iterable[Chunk]) -> None:
        self.received.append((request, b"".join(map(bytes, data_set))))

    def open(self, caller: Caller) -> int:
        self.opened.append(caller.calling_ae)
        return len(self.opened)

    def close(self, _number: int, ended: AssociationEnd) -> None:
        self.closed.append(ended)


@dataclass
class Run:
    """A listener that keeps what it gets, as the node does."""

    desk: Desk
    listener: Listener

    def files(self) -> list[Path]:
        keys = self.desk.spool.keys()
        return [self.desk.spool.path(key) for key in keys]


class FullSpool(Spool):
    """A spool on a disk with no room."""

    def writing(self) -> Part:
        part = super().writing()
        part.keep = self._fail  # type: ignore[method-assign]
        return part

    def _fail(self, key: str) -> None:
        raise OSError(28, f"No space left on device for {key}")


def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def associate(listener: Listener, *classes: str, syntax: str = ExplicitVRLittleEndian) -> Association:
    ae = AE("SENDER")
    for name in classes or (CTImageStorage, MRImageStorage):
        ae.add_requested_context(name, syntax)
    assoc = ae.associate("127.0.0.1", listener.port, ae_title="NODE")
    assert assoc.is_established
    return assoc


def store(listener: Listener, *objects: Dataset) -> list[int]:
    assoc = associate(listener)
    statuses = [int(assoc.send_c_store(ds).Status) for ds in objects]
    assoc.release()
    return statuses


def elements(keyword: str, value: str) -> dict[str, Any]:
    return {keyword: value}


def data_set_of(ds: Dataset) -> bytes:
    """Return `ds` encoded, without file meta information."""
    encoded = encode(ds, is_implicit_vr=False, is_little_endian=True)
    assert encoded is not None
    return encoded


def store_as(listener: Listener, sop_instance_uid: str, data_set: bytes, folder: Path) -> int:
    """Send `data_set` as it is, under a command that names a CT of `sop_instance_uid`."""
    named = StoreRequest(
        sop_class_uid=Uid(CTImageStorage),
        sop_instance_uid=Uid(sop_instance_uid),
        transfer_syntax_uid=Uid(ExplicitVRLittleEndian),
        peer_ae="",
        association_id=0,
    )
    path = folder / "as it is"
    path.write_bytes(header_of(named) + data_set)
    assoc = associate(listener)
    _config.STORE_SEND_CHUNKED_DATASET = True  # pynetdicom then takes the command from the file's header
    try:
        status = int(assoc.send_c_store(path).Status)
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = False
    assoc.release()
    return status
