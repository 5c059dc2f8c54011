"""Graphs that hold their weights are imported and run as the network they were exported from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicomnode.errors import Refused, SettingsError
from dicomnode.inference.engines import EngineName, EngineWish, open_engine
from dicomnode.inference.importing import ImportTools, import_model
from dicomnode.inference.library import changes
from dicomnode.inference.onnx_pairs import signature_of
from dicomnode.inference.probing import probe_model
from tests.weights import FINITE, GRAPHS, model_folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("original"))


@pytest.fixture
def tools(tmp_path: Path) -> ImportTools:
    return ImportTools(models=tmp_path / "models", catalog={}, probe=probe_model, shipped=GRAPHS)


def test_the_graphs_of_a_model_are_told_by_what_they_take(original: Path) -> None:
    encoder, decoder = (signature_of(original / name) for name in ("encoder.onnx", "decoder.onnx"))
    assert [one.shape[1:] for one in encoder.inputs] == [(3, 256, 256)]
    assert [one.name for one in decoder.inputs] == [*(one.name for one in encoder.outputs), "boxes"]


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"none")
    with pytest.raises(Refused, match=r"encoder\.onnx: BAD_MODEL: ONNX Runtime cannot load it"):
        signature_of(tmp_path / "encoder.onnx")


def test_a_graph_that_is_damaged_is_refused_whatever_it_says(original: Path, tmp_path: Path) -> None:
    model_folder(tmp_path)
    content = (original / "decoder.onnx").read_bytes().replace(b"MatMul", b"\xffatMul")
    (tmp_path / "decoder.onnx").write_bytes(content)
    with pytest.raises(Refused, match=r"decoder\.onnx: BAD_MODEL: ONNX Runtime cannot load it") as refused:
        signature_of(tmp_path / "decoder.onnx")
    assert "\n" not in str(refused.value)


def test_graphs_without_their_weights_leave_nothing_behind(original: Path, tools: ImportTools) -> None:
    pair = [original / "decoder.onnx", original / "encoder.onnx"]
    with pytest.raises(Refused, match="ONNX Runtime cannot load it"):
        import_model(pair, "pair", tools)
    assert list(tools.models.iterdir()) == []
    with pytest.raises(SettingsError, match="give the model a name with --as"):
        import_model(pair, None, tools)


def test_a_folder_without_graphs_is_refused_by_what_it_lacks(
    original: Path, tools: ImportTools, tmp_path: Path
) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "encoder.onnx").write_bytes((original / "encoder.onnx").read_bytes())
    with pytest.raises(Refused, match=r"half: BAD_MODEL: the folder has no decoder\.onnx; a folder is"):
        import_model([tmp_path / "half"], "half", tools)


def test_a_folder_of_a_model_is_imported_by_its_weights(original: Path, tools: ImportTools) -> None:
    imported = import_model([original], "copy", replace(tools, probe=lambda _: FINITE))
    assert imported.tensors == 435
    assert imported.model.lineage.sources[0].sha256 == imported.model.lineage.weights_sha256


def test_a_decoder_that_gives_what_it_does_not_say_is_refused(tmp_path: Path) -> None:
    onnx: Any = pytest.importorskip("onnx", reason="the package onnx is not installed")
    path = model_folder(tmp_path) / "decoder.onnx"
    graph = onnx.load(path, load_external_data=False)
    graph.graph.node.append(onnx.helper.make_node("IsNaN", ["quality"], ["bad"]))
    graph.graph.node.append(onnx.helper.make_node("Compress", ["logits", "bad"], ["those"], axis=0))
    graph.graph.output[0].name = "those"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(
        Refused, match=r"for 3 boxes it gives logits \(0, 256, 256\) and qualities \(3,\); expected are"
    ):
        probe_model(tmp_path)


def test_a_pair_gives_what_the_network_gives(original: Path, tools: ImportTools, tmp_path: Path) -> None:
    onnx: Any = pytest.importorskip("onnx", reason="the package onnx is not installed")
    for name in ("encoder.onnx", "decoder.onnx"):
        onnx.save(onnx.load(original / name), tmp_path / name)
    imported = import_model([tmp_path / "decoder.onnx", tmp_path / "encoder.onnx"], "pair", tools)
    expected = probe_model(original)
    assert imported.probed.lowest == pytest.approx(expected.lowest, abs=1e-4)
    assert imported.probed.highest == pytest.approx(expected.highest, abs=1e-4)
    assert imported.model.lineage.architecture == "onnx-pair"
    assert [one.file for one in imported.model.lineage.sources] == ["encoder.onnx", "decoder.onnx"]
    assert list(changes(imported.model)) == []
    assert not import_model([tmp_path], "pair", replace(tools, probe=lambda _: FINITE)).new
    pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(SettingsError, match="its weights in its graphs"):
        open_engine(EngineWish(engine=EngineName.TORCH), imported.model.folder)
