"""Which presentation contexts the listener accepts, and which syntax it takes where a peer offers several."""

from collections.abc import Collection, Iterable

from pydicom.uid import UID
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

VERIFICATION = UID(Verification)

# The acceptor chooses where one context offers several syntaxes (PS3.8 9.3.3.2). What was compressed without loss comes
# first: the sender need not decompress it. Explicit VR comes before Implicit, which loses the VR of private elements.
# Lossy comes last: chosen first it might make the sender compress again.
_FIRST = (
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.92",  # JPEG 2000 Multi-component Lossless
    "1.2.840.10008.1.2.4.201",  # High-Throughput JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.202",  # High-Throughput JPEG 2000 Lossless, RPCL
    "1.2.840.10008.1.2.4.110",  # JPEG XL Lossless
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.8.1",  # Deflated Image Frame Compression
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
)
ACCEPTED_SYNTAXES = (
    *(UID(syntax) for syntax in _FIRST),
    *(UID(syntax) for syntax in ALL_TRANSFER_SYNTAXES if syntax not in _FIRST),
)


def accepted_contexts() -> list[PresentationContext]:
    """Return every storage class with every transfer syntax, and Verification (PS3.4 annexes A and B)."""
    storage = [context.abstract_syntax for context in AllStoragePresentationContexts]
    syntaxes: list[str | UID] = list(ACCEPTED_SYNTAXES)
    return [build_context(name, syntaxes) for name in (VERIFICATION, *(UID(str(uid)) for uid in storage))]


class StorageClasses:
    """Which abstract syntaxes are of storage: those `accepted` but the `others`, and unknown ones if `unrestricted`."""

    def __init__(self, accepted: Iterable[PresentationContext], others: Collection[str], *, unrestricted: bool) -> None:
        names = [str(context.abstract_syntax) for context in accepted]
        self._known = frozenset(name for name in names if name not in others)
        self._others = frozenset(others)
        self._unrestricted = unrestricted

    def includes(self, abstract_syntax: str) -> bool:
        """Return whether objects are stored in a context of `abstract_syntax`."""
        return abstract_syntax in self._known or (self._unrestricted and self._is_unknown(abstract_syntax))

    def added(self, wanted: Iterable[str]) -> list[PresentationContext]:
        """Return contexts, in our order of syntaxes, for those `wanted` that are private or that nobody knows."""
        if not self._unrestricted:
            return []
        unknown = dict.fromkeys(name for name in wanted if name not in self._known and self._is_unknown(name))
        return [build_context(UID(name), list(ACCEPTED_SYNTAXES)) for name in unknown]

    def _is_unknown(self, abstract_syntax: str) -> bool:
        """Return whether `abstract_syntax` is in no dictionary: what other services use, is."""
        return (
            abstract_syntax not in self._others
            and UID(abstract_syntax).name == abstract_syntax
            and bool(abstract_syntax)
        )
