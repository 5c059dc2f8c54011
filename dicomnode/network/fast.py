"""Take C-STORE requests off an association's socket without the queues and pauses of pynetdicom (decision 0016)."""

import select
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pynetdicom.association import Association

from dicomnode.network.commands import StoreCommand
from dicomnode.network.resting import halted, let_rest, socket_between_messages
from dicomnode.network.storing import Chunk, Intake, Sent

_HEAD = struct.Struct(">BxLLBB")  # type and length of a PDU; length, context and control of its first PDV
_ITEM = struct.Struct(">LBB")  # of another PDV (PS3.8 9.3.5.1, annex E.2)
_PDU, _PDV = 6, 4  # bytes before what the length of a PDU, of a PDV counts
_CONTROL = 2  # bytes of context and control, which the length of a PDV counts
_P_DATA, _A_ABORT = 4, 7
_COMMAND, _LAST = 1, 2
_LONGEST_COMMAND = 1024  # bytes
_LEAST_PDU = 512  # bytes that a peer must take for a whole response, with the longest UIDs, to fit into one
_PEEK, _PEEK_ALL = int(socket.MSG_PEEK), int(socket.MSG_PEEK | socket.MSG_WAITALL)  # made once: `|` of flags is slow
_PEEK_NOW = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
_ALL = int(socket.MSG_WAITALL)
_GATHERED = 1 << 18  # bytes of a data set that are handed on together: each time costs a change of threads
_SILENCE = 20  # milliseconds without another request, after which pynetdicom waits for it
_CLOSED, _INVALID = "Evt17", "Evt19"  # for pynetdicom's machine of states (PS3.8 9.2.1)


class BrokenOffError(Exception):
    """The peer does not go on with its object; `event` is what pynetdicom is told, if it does not see it itself."""

    def __init__(self, event: str | None) -> None:
        super().__init__(event)
        self.event = event


@dataclass(frozen=True, kw_only=True, slots=True)
class FastWay:
    """What all associations of a listener share on the fast way; `told` hears of each object that came on it."""

    intake: Intake
    identify: Callable[[Association], int]
    is_storage: Callable[[str], bool]  # of an abstract syntax
    max_pdu_bytes: int
    told: Callable[[], None]

    def install(self, assoc: Association) -> None:
        """Let `assoc` read through this, and rest while nothing comes."""
        stock = assoc.dul._read_pdu_data  # noqa: SLF001 - the seam
        assoc.dul._read_pdu_data = _Reader(assoc, self, stock).read  # type: ignore[method-assign]  # noqa: SLF001
        let_rest(assoc)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    """A C-STORE request whose command is the first PDV of a PDU."""

    command: StoreCommand
    sent: Sent
    context_id: int
    size: int  # bytes from the beginning of the PDU to the end of the command
    left: int  # bytes of the PDU behind that


class _Reader:
    """Stands in for `_read_pdu_data` of an association's DULServiceProvider, in whose thread it runs.

    It looks at what comes next without reading it: a C-STORE request is taken, everything else is left to `stock`.
    """

    def __init__(self, assoc: Association, way: FastWay, stock: Callable[[], None]) -> None:
        self._assoc = assoc
        self._dul = assoc.dul
        self._way = way
        self._stock = stock
        self._contexts: dict[int, tuple[str, str]] | None = None  # of storage classes: what is sent in each, and how
        self._peer_ae = ""
        self._known = memoryview(bytearray(_HEAD.size + _LONGEST_COMMAND))  # what was looked at before it is read
        self._room = memoryview(b"")
        self._poll: select.poll | None = None

    def read(self) -> None:
        """Take the C-STORE requests that follow one another, or whatever else comes as pynetdicom does."""
        connection = socket_between_messages(self._assoc)
        request = self._next(connection) if connection is not None else None
        if connection is None or request is None:
            self._stock()
            return
        with halted(self._assoc):  # the other thread has nothing to look for
            while request is not None:
                self._serve(connection, request)
                request = self._next(connection) if self._is_followed(connection) else None

    def _next(self, connection: socket.socket) -> _Request | None:
        """Return the C-STORE request that comes next, unread, or None where something else does."""
        head = _peek(connection, _HEAD.size + _LONGEST_COMMAND)
        if len(head) < _HEAD.size:
            return None
        kind, length, size, context_id, control = _HEAD.unpack_from(head)
        fits = _CONTROL < size <= min(_LONGEST_COMMAND, length - _PDV) and length <= self._way.max_pdu_bytes
        if kind != _P_DATA or control & (_COMMAND | _LAST) != _COMMAND | _LAST or not fits:
            return None
        whole = _PDU + _PDV + size
        if len(head) < whole:
            head = _peek(connection, whole, _PEEK_ALL)
        command = StoreCommand.parse(head[_HEAD.size : whole])
        sent = self._sent(command, context_id) if command else None
        if command is None or sent is None:
            return None
        left = length - _PDV - size
        return _Request(command=command, sent=sent, context_id=context_id, size=whole, left=left)

    def _sent(self, command: StoreCommand, context_id: int) -> Sent | None:
        """Return what is sent in the context, or None where that was not accepted or is of no storage class."""
        if self._contexts is None:
            self._contexts = self._storage_contexts()
            self._peer_ae = self._assoc.requestor.ae_title
        if context_id not in self._contexts:
            return None
        abstract_syntax, transfer_syntax = self._contexts[context_id]
        return Sent(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            abstract_syntax=abstract_syntax,
            transfer_syntax=transfer_syntax,
            peer_ae=self._peer_ae,
        )

    def _storage_contexts(self) -> dict[int, tuple[str, str]]:
        """Return class and syntax of each context that an object may come in; none where no response would fit."""
        if 0 < (self._assoc.requestor.maximum_length or 0) < _LEAST_PDU:
            return {}
        accepted = self._assoc.accepted_contexts
        found = {one.context_id or 0: (str(one.abstract_syntax), str(one.transfer_syntax[0])) for one in accepted}
        return {number: what for number, what in found.items() if self._way.is_storage(what[0])}

    def _serve(self, connection: socket.socket, request: _Request) -> None:
        """Take the object of `request`, and answer."""
        if not self._room:
            self._room = memoryview(bytearray(_GATHERED + self._way.max_pdu_bytes))
        number = self._way.identify(self._assoc)
        try:
            self._receive(connection, request.size, self._known[: request.size])
            data_set = self._fragments(connection, request.context_id, request.left)
            status = self._way.intake.take(request.sent, number, data_set)
            self._answer(connection, request, status)
        except BrokenOffError as error:
            if error.event:
                self._dul.event_queue.put(error.event)
            return
        self._way.told()

    def _fragments(self, connection: socket.socket, context_id: int, left: int) -> Iterator[Chunk]:
        """Yield a data set as it comes, fragments joined; `left` bytes of the PDU of its command are to be read."""
        control = filled = 0
        while not control & _LAST:
            if left:
                self._receive(connection, _ITEM.size, self._known[: _ITEM.size])
                (size, context, control), known = _ITEM.unpack_from(self._known), 0
                left = _rest(size, left)
            else:
                if not filled:
                    self._check_that_it_goes_on()
                length, size, context, control = self._head(connection)
                left, known = _rest(size, length), _HEAD.size
            end = filled + size - _CONTROL
            self._receive(connection, known + end - filled, self._known[:known], self._room[filled:end])
            if context != context_id or control & _COMMAND:
                raise BrokenOffError(_INVALID)
            filled = end
            if filled >= _GATHERED or control & _LAST:
                yield self._room[:filled]
                filled = 0
        if left:
            raise BrokenOffError(_INVALID)

    def _head(self, connection: socket.socket) -> tuple[int, int, int, int]:
        """Return the length of the next PDU, and length, context and control of its first PDV, unread."""
        head = _peek(connection, _HEAD.size, _PEEK_NOW)
        if len(head) < _HEAD.size:
            head = self._awaited_head(connection)
        kind, length, size, context, control = _HEAD.unpack(head)
        if kind == _A_ABORT:
            raise BrokenOffError(None)
        if kind != _P_DATA or length > self._way.max_pdu_bytes:
            raise BrokenOffError(_INVALID)
        return length, size, context, control

    def _awaited_head(self, connection: socket.socket) -> bytes:
        """Return the first bytes of the next PDU where they have yet to come; those of an abort are fewer."""
        self._check_that_it_goes_on()
        head = _peek(connection, _HEAD.size)
        if head[:1] == bytes([_A_ABORT]):
            raise BrokenOffError(None)
        if head and head[0] != _P_DATA:
            raise BrokenOffError(_INVALID)
        if len(head) < _HEAD.size:
            head = _peek(connection, _PDU, _PEEK_ALL)
            long_enough = len(head) == _PDU and int.from_bytes(head[2:], "big") >= _HEAD.size - _PDU
            head = _peek(connection, _HEAD.size, _PEEK_ALL) if long_enough else head
        if len(head) < _HEAD.size:
            raise BrokenOffError(_INVALID if len(head) == _PDU else _CLOSED)
        return head

    def _check_that_it_goes_on(self) -> None:
        """Leave the object where this side has something to say: that it aborts."""
        self._dul._idle_timer.restart()  # noqa: SLF001 - else a long object looks like silence
        if not self._dul.to_provider_queue.empty():
            raise BrokenOffError(None)

    def _receive(self, connection: socket.socket, size: int, *places: memoryview) -> None:
        """Fill `places`, of `size` bytes together, with the next ones."""
        try:
            got = connection.recvmsg_into(places, 0, _ALL)[0] if size else 0  # asked for none, it waits for one
        except OSError as error:  # also where it stalled
            raise BrokenOffError(_CLOSED) from error
        if got < size:
            raise BrokenOffError(_CLOSED)

    def _answer(self, connection: socket.socket, request: _Request, status: int) -> None:
        """Send the response: one PDU of one PDV."""
        response = request.command.response(status)
        size = len(response) + _CONTROL
        pdu = _HEAD.pack(_P_DATA, _PDV + size, size, request.context_id, _COMMAND | _LAST) + response
        try:
            connection.sendall(pdu)
        except OSError as error:
            raise BrokenOffError(_CLOSED) from error

    def _is_followed(self, connection: socket.socket) -> bool:
        """Return whether the peer says something soon, and this side has nothing to say."""
        self._dul._idle_timer.restart()  # noqa: SLF001
        if socket_between_messages(self._assoc) is None or not self._dul.event_queue.empty():
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(connection, select.POLLIN)
        return bool(self._poll.poll(_SILENCE)) and self._dul.to_provider_queue.empty()


def _rest(size: int, left: int) -> int:
    """Return how many of the `left` bytes of a PDU stand behind a PDV of `size`."""
    if not _CONTROL <= size <= left - _PDV:
        raise BrokenOffError(_INVALID)
    return left - _PDV - size


def _peek(connection: socket.socket, size: int, flags: int = _PEEK) -> bytes:
    """Return the next `size` bytes, which stay to be read; fewer where there are no more now, or at the end."""
    try:
        return connection.recv(size, flags)
    except OSError:
        return b""
