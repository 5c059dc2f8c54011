import pytest
from pydicom.uid import UID
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
from pynetdicom.presentation import build_context, negotiate_as_acceptor

from dicomnode.network.contexts import ACCEPTED_SYNTAXES, VERIFICATION, accepted_contexts

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
CT = "1.2.840.10008.5.1.4.1.1.2"


def taken(*offered: str) -> str:
    """Return the syntax that is accepted where one context offers all of `offered`."""
    proposed = build_context(CT, list(offered))
    proposed.context_id = 1
    results, _ = negotiate_as_acceptor([proposed], accepted_contexts())
    assert results[0].result == 0
    return results[0].transfer_syntax[0]


def test_every_storage_class_is_accepted_with_every_syntax() -> None:
    contexts = {context.abstract_syntax: context for context in accepted_contexts()}
    assert set(contexts) == {context.abstract_syntax for context in AllStoragePresentationContexts} | {VERIFICATION}
    assert len(contexts) == 171
    assert all(set(context.transfer_syntax) == set(ALL_TRANSFER_SYNTAXES) for context in contexts.values())
    assert LABEL_MAP in contexts


def test_no_syntax_is_named_twice() -> None:
    assert len(ACCEPTED_SYNTAXES) == len(set(ACCEPTED_SYNTAXES)) == 45


def test_the_order_in_which_syntaxes_are_preferred() -> None:
    assert [syntax.name for syntax in ACCEPTED_SYNTAXES[:15]] == [
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        "JPEG Lossless, Non-Hierarchical (Process 14)",
        "JPEG-LS Lossless Image Compression",
        "JPEG 2000 Image Compression (Lossless Only)",
        "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)",
        "High-Throughput JPEG 2000 Image Compression (Lossless Only)",
        "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)",
        "JPEG XL Lossless",
        "RLE Lossless",
        "Deflated Image Frame Compression",
        "Explicit VR Little Endian",
        "Deflated Explicit VR Little Endian",
        "Implicit VR Little Endian",
        "Explicit VR Big Endian",
        "JPEG Baseline (Process 1)",
    ]


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [
        (("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"), "1.2.840.10008.1.2.1"),
        (("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"), "1.2.840.10008.1.2.4.90"),
        (("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2"), "1.2.840.10008.1.2"),
        (("1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.90"), "1.2.840.10008.1.2.4.90"),
        (("1.2.840.10008.1.2.4.91",), "1.2.840.10008.1.2.4.91"),
    ],
)
def test_of_several_syntaxes_the_one_that_keeps_most_is_taken(offered: tuple[str, ...], accepted: str) -> None:
    assert taken(*offered) == UID(accepted)
