"""Models are imported whole or not at all, checked, and told by their hashes."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.errors import Refused, SettingsError
from dicomnode.inference.catalog import CatalogEntry
from dicomnode.inference.importing import Imported, ImportTools, import_model
from dicomnode.inference.layouts import DECODER_NAME, ENCODER_NAME, WEIGHTS_NAME, offsets_of
from dicomnode.inference.library import (
    ImportedModel,
    changes,
    check_files,
    export_weights,
    find_model,
    models_in,
    remove_model,
)
from dicomnode.inference.lineage import LINEAGE_NAME, lineage_text, read_lineage
from dicomnode.inference.probing import Probed
from tests.checkpoints import SMALL, random_weights, shipped, torch_zip
from tests.weights import FINITE

WEIGHTS = random_weights(SMALL)
ENTRY = CatalogEntry(description="small", origin="a test", licence="CC0-1.0", weights="small.pth", card="README.md")


class Bench:
    """A models folder, the files that a package would ship, and checkpoints to import."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = folder / "models"
        self.tools = ImportTools(
            models=self.models, catalog={"none": ENTRY}, probe=lambda _: FINITE, shipped=shipped(folder / "shipped")
        )

    def file(self, tree: object = WEIGHTS, name: str = "weights.pth") -> Path:
        path = self.folder / name
        path.write_bytes(torch_zip(tree))
        return path

    def imports(self, tree: object = WEIGHTS, name: str | None = "mine") -> Imported:
        return import_model([self.file(tree)], name, self.tools)

    def content(self) -> dict[str, bytes]:
        paths = self.models.rglob("*") if self.models.is_dir() else ()
        return {str(path.relative_to(self.models)): path.read_bytes() for path in paths if path.is_file()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def different(seed: int = 1) -> dict[str, NDArray[Any]]:
    return random_weights(SMALL, seed)


def test_a_model_is_its_weights_and_graphs_in_a_folder(bench: Bench) -> None:
    imported = bench.imports({"model": WEIGHTS, "optimizer": {}, "epoch": 7})
    model = imported.model
    assert model.folder == bench.models / "mine"
    assert imported.new
    assert imported.tensors == 4
    assert imported.unused == ("image_encoder.bn.num_batches_tracked",)
    assert imported.beside == ("optimizer", "epoch")
    assert imported.notes == ()
    assert imported.probed == FINITE
    content = (model.folder / WEIGHTS_NAME).read_bytes()
    for name, (offset, size) in offsets_of(SMALL).items():
        assert content[offset : offset + size] == WEIGHTS[name].tobytes()
    assert {path.name for path in model.folder.iterdir()} == {WEIGHTS_NAME, ENCODER_NAME, DECODER_NAME, LINEAGE_NAME}
    assert [path.name for path in bench.models.iterdir()] == ["mine"]


def test_the_lineage_tells_the_source_by_its_hashes(bench: Bench) -> None:
    lineage = bench.imports({"model": {f"module.{name}": one for name, one in WEIGHTS.items()}}).model.lineage
    path = bench.folder / "weights.pth"
    (source,) = lineage.sources
    assert source.file == "weights.pth"
    assert source.form == "PyTorch zip (model > module.)"
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    told = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True)
    assert source.git_blob == told.stdout.strip()
    assert (lineage.origin, lineage.licence) == ("unknown", "unknown")
    assert lineage.weights_sha256 == hashlib.sha256((bench.models / "mine" / WEIGHTS_NAME).read_bytes()).hexdigest()
    assert read_lineage(bench.models / "mine" / LINEAGE_NAME) == lineage


def test_a_published_file_is_known_by_its_hash_and_called_as_in_the_catalog(bench: Bench) -> None:
    path = bench.file()
    blob = import_model([path], "first", bench.tools).model.lineage.sources[0].git_blob
    tools = replace(bench.tools, catalog={"none": ENTRY, "small": replace(ENTRY, git_blob=blob)})
    lineage = import_model([path], None, tools).model.lineage
    assert (lineage.name, lineage.origin, lineage.licence) == ("small", "a test", "CC0-1.0")


def test_a_file_may_be_called_what_is_no_text(bench: Bench) -> None:
    path = bench.file(name=os.fsdecode(b"weights-\xff.pth"))
    model = import_model([path], "mine", bench.tools).model
    assert find_model(bench.models, "mine").lineage.sources[0].file == "weights-\ufffd.pth"
    assert model.lineage.sources[0].file == "weights-\ufffd.pth"


def test_a_file_that_the_catalog_does_not_know_is_called_as_its_architecture(bench: Bench) -> None:
    assert bench.imports(name=None).model.name == "lite-medsam"


def test_numbers_of_other_precisions_are_converted_and_noted(bench: Bench) -> None:
    halved = {name: one.astype(np.float16) if one.dtype == np.float32 else one for name, one in WEIGHTS.items()}
    imported = bench.imports(halved)
    assert imported.notes == (
        "3 tensors were float16 and became float32: image_encoder.conv.weight, image_encoder.bn.running_var and 1 more",
    )


def test_the_same_weights_have_the_same_hash_whatever_they_came_in(bench: Bench) -> None:
    bare = bench.imports()
    wrapped = bench.imports({"state_dict": dict(reversed(WEIGHTS.items()))}, "other")
    exported = bench.folder / "exported.safetensors"
    export_weights(bare.model, exported)
    again = import_model([exported], "third", bench.tools)
    assert len({one.model.lineage.weights_sha256 for one in (bare, wrapped, again)}) == 1
    assert again.model.lineage.sources[0].sha256 == again.model.lineage.weights_sha256


def test_a_second_import_changes_nothing(bench: Bench) -> None:
    bench.imports()
    before = bench.content()
    assert not bench.imports().new
    assert bench.content() == before


def test_a_second_import_puts_back_what_is_missing_or_changed(bench: Bench) -> None:
    model = bench.imports().model
    before = bench.content()
    (model.folder / ENCODER_NAME).unlink()
    (model.folder / WEIGHTS_NAME).write_bytes(b"changed")
    assert [sentence.partition(" ")[0] for sentence in changes(model)] == [
        str(model.folder / ENCODER_NAME),
        str(model.folder / WEIGHTS_NAME),
    ]
    bench.imports()
    assert bench.content() == before
    assert list(changes(model)) == []


def test_a_second_import_knows_no_less_of_the_origin(bench: Bench) -> None:
    path = bench.file()
    blob = import_model([path], "first", bench.tools).model.lineage.sources[0].git_blob
    known = replace(bench.tools, catalog={"small": replace(ENTRY, git_blob=blob)})
    model = import_model([path], "small", known).model
    exported = bench.folder / "exported.safetensors"
    export_weights(model, exported)
    assert import_model([exported], "small", known).model.lineage == model.lineage
    assert import_model([path], "first", known).model.lineage.origin == "a test"


def test_new_graphs_come_with_a_second_import(bench: Bench) -> None:
    bench.imports()
    (bench.tools.shipped / ENCODER_NAME).write_bytes(b"a better graph")
    model = bench.imports().model
    assert (model.folder / ENCODER_NAME).read_bytes() == b"a better graph"
    assert list(changes(find_model(bench.models, "mine"))) == []


def test_other_weights_do_not_take_the_place_of_a_model(bench: Bench) -> None:
    bench.imports()
    before = bench.content()
    with pytest.raises(Refused, match=r"model 'mine': BAD_MODEL: there is one already with other weights.*--as"):
        bench.imports(different())
    assert bench.content() == before


def not_finite() -> dict[str, NDArray[Any]]:
    broken = different()
    broken["mask_decoder.iou.weight"][2, 1:3] = np.nan
    return broken


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (not_finite, "2 of the 20 numbers of mask_decoder.iou.weight are not finite"),
        (lambda: {"a": np.zeros(3, np.float32)}, "found 1 tensors, 0 of which fit"),
        (lambda: {**WEIGHTS, "mask_decoder.iou.weight": np.full((5, 4), 1e300)}, "20 of the 20 numbers"),
    ],
)
def test_weights_that_cannot_be_used_leave_nothing_behind(bench: Bench, tree: Callable[[], object], says: str) -> None:
    with pytest.raises(Refused, match=says):
        bench.imports(tree())
    assert not bench.models.exists()


def test_a_model_whose_output_is_not_finite_is_not_there_afterwards(bench: Bench) -> None:
    tools = replace(bench.tools, probe=lambda _: replace(FINITE, finite=False, highest=float("nan")))
    with pytest.raises(Refused, match=r"its output for a test image is not finite: -1\.0 to nan"):
        import_model([bench.file()], "mine", tools)
    assert list(bench.models.iterdir()) == []


def test_a_model_is_tried_before_it_is_there(bench: Bench) -> None:
    seen: list[set[str]] = []

    def probe(folder: Path) -> Probed:
        seen.append({path.name for path in folder.iterdir()})
        assert list(models_in(bench.models)) == []
        return FINITE

    import_model([bench.file()], "mine", replace(bench.tools, probe=probe))
    assert seen == [{WEIGHTS_NAME, ENCODER_NAME, DECODER_NAME}]


@pytest.mark.parametrize("name", ["", "Mine", "../mine", ".mine", "a/b", "-x", "x" * 65, "classical", "box-unet"])
def test_a_name_that_is_none_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(SettingsError, match="model"):
        bench.imports(name=name)
    assert not bench.models.exists()


def test_a_folder_that_is_no_model_is_not_replaced(bench: Bench) -> None:
    (bench.models / "mine").mkdir(parents=True)
    (bench.models / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(Refused, match="it is there already, and no model"):
        bench.imports()
    assert bench.content() == {"mine/notes.txt": b"mine"}


def test_models_are_found_by_name_and_an_error_lists_them(bench: Bench) -> None:
    for name in ("b", "a"):
        bench.imports(name=name)
    assert [one.name for one in models_in(bench.models) if isinstance(one, ImportedModel)] == ["a", "b"]
    assert find_model(bench.models, "a").folder == bench.models / "a"
    for name in ("c", "..", "../models/a", "a/../b"):
        with pytest.raises(SettingsError, match="there are: box-unet, classical, a, b"):
            find_model(bench.models, name)


def test_without_a_models_folder_there_are_no_models(tmp_path: Path) -> None:
    assert list(models_in(tmp_path / "none")) == []
    with pytest.raises(SettingsError, match=r"there are: box-unet, classical$"):
        find_model(tmp_path / "none", "mine")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace('name = "mine"', 'name = "yours"'), "it is of the model 'yours'"),
        (lambda text: text.replace("origin", "orgin"), "damaged"),
        (lambda text: text.replace('origin = "unknown"', "origin = 3"), "damaged: a value is no text"),
        (lambda text: text.replace('"weights.safetensors"', '"../../passwd"'), "it has a file '../../passwd'"),
        (lambda text: text[:100], "damaged"),
        (lambda text: text.replace("[[sources]]", "[sources]"), "damaged"),
        (lambda _: "\x00", "damaged"),
        (lambda _: "", "damaged"),
    ],
)
def test_a_damaged_lineage_is_named_and_does_not_hide_other_models(
    bench: Bench, change: Callable[[str], str], says: str
) -> None:
    for name in ("mine", "other"):
        bench.imports(name=name)
    path = bench.models / "mine" / LINEAGE_NAME
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(Refused, match="BAD_MODEL") as refused:
        find_model(bench.models, "mine")
    assert refused.value.what == str(path)
    assert says in refused.value.detail
    damaged, other = models_in(bench.models)
    assert isinstance(damaged, Refused)
    assert isinstance(other, ImportedModel)
    remove_model(bench.models, "mine")
    assert [path.name for path in bench.models.iterdir()] == ["other"]


def test_a_lineage_is_written_as_it_is_read(bench: Bench) -> None:
    lineage = bench.imports().model.lineage
    odd = replace(lineage, origin='"quoted" \\ Größe\n', sources=(*lineage.sources, *lineage.sources))
    path = bench.folder / "odd.toml"
    path.write_text(lineage_text(odd))
    assert read_lineage(path) == odd


def test_a_changed_file_is_an_error_that_names_it(bench: Bench) -> None:
    model = bench.imports().model
    check_files(model)
    with (model.folder / WEIGHTS_NAME).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x00")
    with pytest.raises(Refused, match=rf"model 'mine': BAD_MODEL: {model.folder / WEIGHTS_NAME} has changed"):
        check_files(model)
    with pytest.raises(Refused, match="has changed"):
        export_weights(model, bench.folder / "exported.safetensors")
    (model.folder / WEIGHTS_NAME).unlink()
    with pytest.raises(Refused, match=f"{model.folder / WEIGHTS_NAME} cannot be read: No such file"):
        check_files(model)


def test_an_export_replaces_no_file(bench: Bench) -> None:
    model = bench.imports().model
    with pytest.raises(SettingsError, match="is there already"):
        export_weights(model, bench.folder / "weights.pth")


def test_what_is_removed_is_gone(bench: Bench) -> None:
    bench.imports()
    remove_model(bench.models, "mine")
    assert list(bench.models.iterdir()) == []
    with pytest.raises(SettingsError, match="there are: box-unet, classical"):
        remove_model(bench.models, "mine")
    with pytest.raises(SettingsError, match="a name is"):
        remove_model(bench.models, "..")
