"""The models folder is changed by one process at a time, and whatever ends one leaves no half of a model behind."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicomnode.errors import Refused, SettingsError, Unavailable
from dicomnode.inference.importing import ImportTools, import_model
from dicomnode.inference.layouts import DECODER_NAME, ENCODER_NAME, INT8_ENCODER_NAME, INT8_FILES, INT8_WEIGHTS_NAME
from dicomnode.inference.library import (
    BUILT_IN,
    ImportedModel,
    changes,
    check_files,
    export_weights,
    find_model,
    models_in,
    remove_model,
    shipped_model,
)
from dicomnode.inference.quantizing import check_quantizable, quantize_model
from tests.checkpoints import SMALL, random_weights, shipped, torch_zip
from tests.disks import room_for
from tests.weights import FINITE


@pytest.fixture
def tools(tmp_path: Path) -> ImportTools:
    return ImportTools(
        models=tmp_path / "models", catalog={}, probe=lambda _: FINITE, shipped=shipped(tmp_path / "shipped")
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    path.write_bytes(torch_zip(random_weights(SMALL)))
    return path


@pytest.fixture
def model(tools: ImportTools, file: Path) -> ImportedModel:
    return import_model([file], "mine", tools).model


def makes(content: bytes) -> Callable[[Path, Sequence[Any], Path], None]:
    """Return what makes an int8 form of `content`."""

    def make(_encoder: Path, _squares: Sequence[Any], target: Path) -> None:
        target.write_bytes(content)
        target.with_suffix(".bin").write_bytes(content)

    return make


def fails(_encoder: Path, _squares: Sequence[Any], target: Path) -> None:
    target.write_bytes(b"half of it")
    raise RuntimeError("it failed")


def names_in(models: Path) -> list[str]:
    return [path.name for path in models.iterdir()]


def test_an_int8_form_is_in_the_lineage_and_takes_the_place_of_an_older_one(model: ImportedModel) -> None:
    for content in (b"one", b"other"):
        quantized = quantize_model(model, (), makes(content))
        assert (model.folder / INT8_WEIGHTS_NAME).read_bytes() == content
        assert find_model(model.folder.parent, "mine") == quantized
        assert set(INT8_FILES) < quantized.lineage.files.keys()
        assert list(changes(quantized)) == []
    assert names_in(model.folder.parent) == ["mine"]


def test_a_quantising_that_fails_leaves_the_model_as_it_was(model: ImportedModel) -> None:
    before = quantize_model(model, (), makes(b"one"))
    with pytest.raises(RuntimeError, match="it failed"):
        quantize_model(model, (), fails)
    assert find_model(model.folder.parent, "mine") == before
    assert list(changes(before)) == []
    assert names_in(model.folder.parent) == ["mine"]


def test_a_changed_model_is_not_quantised(model: ImportedModel) -> None:
    (model.folder / ENCODER_NAME).write_bytes(b"changed")
    with pytest.raises(Refused, match="has changed"):
        quantize_model(model, (), makes(b"one"))


def test_a_damaged_int8_form_is_made_anew_and_is_no_part_of_the_rest(model: ImportedModel) -> None:
    damaged = quantize_model(model, (), makes(b"one"))
    (model.folder / INT8_WEIGHTS_NAME).unlink()
    check_files(damaged, without=INT8_FILES)
    with pytest.raises(Refused, match="cannot be read"):
        check_files(damaged)
    assert list(changes(quantize_model(damaged, (), makes(b"two")))) == []


def test_a_second_import_keeps_a_whole_int8_form(model: ImportedModel, tools: ImportTools, file: Path) -> None:
    quantized = quantize_model(model, (), makes(b"one"))
    (model.folder / DECODER_NAME).unlink()
    assert import_model([file], "mine", tools).model.lineage == quantized.lineage
    assert list(changes(quantized)) == []


@pytest.mark.parametrize("changed", [INT8_ENCODER_NAME, "the shipped encoder"])
def test_a_second_import_forgets_an_int8_form_that_does_not_go_with_it(
    model: ImportedModel, tools: ImportTools, file: Path, changed: str
) -> None:
    quantize_model(model, (), makes(b"one"))
    path = model.folder / changed if changed in INT8_FILES else tools.shipped / ENCODER_NAME
    path.write_bytes(b"changed")
    again = import_model([file], "mine", tools).model
    assert not set(INT8_FILES) & again.lineage.files.keys()
    assert list(changes(find_model(tools.models, "mine"))) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from dicomnode.inference.library import find_model
from dicomnode.inference.quantizing import check_quantizable, quantize_model

def make(encoder, squares, target):
    target.write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)

quantize_model(find_model(Path(sys.argv[1]), "mine"), (), make)
"""


@pytest.mark.usefixtures("model")
def test_what_a_killed_process_left_is_deleted_by_the_next(tools: ImportTools, file: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, tools.models], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(names_in(tools.models)) == 2
    assert list(changes(find_model(tools.models, "mine"))) == []
    import_model([file], "other", tools)
    assert sorted(names_in(tools.models)) == ["mine", "other"]


def test_two_processes_do_not_change_the_models_at_once(model: ImportedModel, tools: ImportTools, file: Path) -> None:
    def each() -> Iterator[Callable[[], object]]:
        yield lambda: import_model([file], "other", tools)
        yield lambda: quantize_model(model, (), makes(b"one"))
        yield lambda: remove_model(tools.models, "mine")

    descriptor = os.open(tools.models, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    for change in each():
        with pytest.raises(Unavailable, match=f"{tools.models}: another process is changing its models"):
            change()
    os.close(descriptor)
    for change in each():
        change()
    assert names_in(tools.models) == ["other"]


def test_a_full_disk_is_named_and_nothing_is_left(model: ImportedModel, tools: ImportTools, file: Path) -> None:
    with room_for(100), pytest.raises(Unavailable, match=f"^{tools.models}: File too large"):
        import_model([file], "other", tools)
    exported = tools.models.parent / "exported.safetensors"
    with room_for(100), pytest.raises(Unavailable, match=f"^{exported}: File too large"):
        export_weights(model, exported)
    assert not exported.exists()
    assert names_in(tools.models) == ["mine"]


def test_a_link_to_a_folder_elsewhere_is_removed_and_the_folder_stays(model: ImportedModel, tmp_path: Path) -> None:
    elsewhere = model.folder.rename(tmp_path / "mine")
    model.folder.symlink_to(elsewhere)
    remove_model(model.folder.parent, "mine")
    assert names_in(model.folder.parent) == []
    assert list(changes(replace(model, folder=elsewhere))) == []


def test_a_link_to_nothing_is_not_followed(tools: ImportTools, file: Path, tmp_path: Path) -> None:
    tools.models.mkdir()
    (tools.models / "mine").symlink_to(tmp_path / "nothing")
    with pytest.raises(Refused, match="it cannot be made: Not a directory"):
        import_model([file], "mine", tools)
    assert not (tmp_path / "nothing").exists()


def test_a_folder_that_no_model_can_be_called_is_none(model: ImportedModel, tools: ImportTools) -> None:
    (tools.models / "lost+found").mkdir()
    assert list(models_in(tools.models)) == [model]


def test_a_model_that_comes_with_the_package_may_have_no_files_and_is_not_removed(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match="model 'classical': BAD_SETTING: it comes with dicomnode, and has no files"
    ):
        find_model(tmp_path, "classical")
    for name in BUILT_IN:
        with pytest.raises(SettingsError, match="it comes with dicomnode, and is not removed"):
            remove_model(tmp_path, name)


def test_a_model_of_one_graph_is_not_quantised() -> None:
    with pytest.raises(SettingsError, match=r"model 'box-unet': .*only an encoder\.onnx is quantised"):
        check_quantizable(shipped_model("box-unet"))
