"""A node with an imported model: from the study that arrives to the SEG that says what made it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicomnode.inference.library import find_model
from dicomnode.network.associations import Peer
from dicomnode.network.sender import send_all
from dicomnode.node import Node
from dicomnode.settings import Destination, Listener, Readiness, Settings
from dicomnode.settings import Node as NodeTable
from dicomnode.settings.tables import Model
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import Loopback
from tests.weights import imported_model

LONGEST = {"LO": 64, "LT": 10240}  # characters (PS3.5 6.2)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return the folder of models, with a model called ours in it."""
    return imported_model(tmp_path)


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Loopback]:
    with Loopback(tmp_path / "pacs") as pacs:
        yield pacs


def made_by(seg: Dataset) -> Dataset:
    """Return the Segmentation Algorithm Identification of the first segment."""
    (algorithm,) = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    found: Dataset = algorithm
    return found


def test_a_node_segments_with_an_imported_model_and_says_in_the_seg_what_did_it(
    tmp_path: Path, models: Path, pacs: Loopback
) -> None:
    settings = Settings(
        node=NodeTable(data_dir=tmp_path / "data"),
        listener=Listener(host="127.0.0.1", port=0),
        readiness=Readiness(quiet_seconds=0.3),
        model=Model(name="ours", folder=models),
        destinations=(Destination(name="pacs", ae_title=pacs.peer.ae_title, host=pacs.peer.host, port=pacs.peer.port),),
    )
    images = ct_series()
    drawn = rtstruct(images, {"liver": [square(10, 8, 20, 16, 2.5), square(10, 8, 20, 16, 5.0)]})
    sent = save([*images, drawn], tmp_path / "sent")
    with Node(settings) as node:
        send_all(sent, Peer(ae_title="DICOMNODE", host="127.0.0.1", port=node.port), "SENDER")
        (path,) = pacs.wait_for(1, timeout=60)
    algorithm = made_by(dcmread(path))
    weights = find_model(models, "ours").lineage.weights_sha256
    assert (algorithm.AlgorithmName, algorithm.AlgorithmSource) == ("ours", weights)
    for told in (f"weights=sha256:{weights}", "engine=onnx ", "device=cpu", "precision=fp32", "window=40/400"):
        assert told in algorithm.AlgorithmParameters
    assert "strategy=per-plane" in algorithm.AlgorithmParameters
    too_long = [one.keyword for one in algorithm if isinstance(one.value, str) and len(one.value) > LONGEST[one.VR]]
    assert too_long == []
