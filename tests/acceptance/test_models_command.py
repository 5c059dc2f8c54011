"""`dicomnode models` as a user runs it, on weights of the real network's layout."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.checkpoints import Named, torch_zip
from tests.weights import random_weights

DICOMNODE = Path(sys.executable).parent / "dicomnode"


class Shell:
    """Runs the command in a folder of its own, with nothing set but a home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = folder / "home/.local/share/dicomnode/models"

    def run(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.folder / "home"), "PATH": "/usr/bin:/bin", "COLUMNS": "160"}
        command: list[str | Path] = [DICOMNODE, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == expect, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, expect: int = 0) -> Any:  # noqa: ANN401 - a JSON document
        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a checkpoint as a training does."""
    path = tmp_path_factory.mktemp("checkpoint") / "medsam_lite_best.pth"
    path.write_bytes(torch_zip({"model": random_weights(1), "epoch": 9, "optimizer": {"state": {}}}))
    return path


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> tuple[Shell, Any]:
    """Import it and make it the default; return where, and the document."""
    shell = Shell(tmp_path_factory.mktemp("shell"))
    shell.run("config", "init")
    return shell, shell.json("models", "import", str(checkpoint), "--as", "ours", "--default")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_an_import_tells_what_became_of_each_tensor(imported: tuple[Shell, Any], checkpoint: Path) -> None:
    shell, document = imported
    weights = shell.models / "ours" / "weights.safetensors"
    assert document["weights_sha256"] == sha256(weights.read_bytes()).hexdigest()
    (source,) = document["sources"]
    assert (source["file"], source["form"]) == ("medsam_lite_best.pth", "PyTorch zip (model)")
    assert source["sha256"] == sha256(checkpoint.read_bytes()).hexdigest()
    tensors = document["tensors"]
    assert tensors["total"] == 435
    assert tensors["used"] + len(tensors["unused"]) == 435
    assert "prompt_encoder.not_a_point_embed.weight" in tensors["unused"]
    assert document["beside"] == ["epoch", "optimizer"]
    assert document["new"] is True


def test_an_import_is_tried_and_compared_with_torch_where_it_is(imported: tuple[Shell, Any]) -> None:
    tried = imported[1]["test_image"]
    assert tried["finite"] is True
    assert tried["lowest"] < tried["highest"]
    if tried["torch_difference"] is not None:
        assert tried["torch_difference"] < 1e-3


def test_the_default_is_set_and_the_settings_keep_their_comments(imported: tuple[Shell, Any]) -> None:
    shell, document = imported
    assert document["settings_file"] == str(shell.folder / "dicomnode.toml")
    assert shell.run("config", "get", "model.name").stdout == "ours\n"
    assert "# What segments" in (shell.folder / "dicomnode.toml").read_text()


def test_list_and_show_tell_what_is_there(imported: tuple[Shell, Any]) -> None:
    shell, document = imported
    rows = {row["name"]: row for row in shell.json("models", "list")["models"]}
    assert {name: row["state"] for name, row in rows.items()} == {
        "box-unet": "comes with dicomnode",
        "classical": "comes with dicomnode",
        "ours": "imported",
        "lite-medsam": "not here",
    }
    assert [name for name, row in rows.items() if row["default"]] == ["ours"]
    shown = shell.json("models", "show", "ours")
    assert shown["lineage"]["weights_sha256"] == document["weights_sha256"]
    assert shell.json("models", "show", "lite-medsam")["catalog"]["git_blob"].startswith("1799e59a")
    assert "ours (default)" in shell.run("models", "list").stdout
    assert document["weights_sha256"] in shell.run("models", "show", "ours").stdout


def test_the_default_is_not_removed(imported: tuple[Shell, Any]) -> None:
    shell, _ = imported
    assert "--force removes it" in shell.run("models", "remove", "ours", expect=2).stderr
    assert (shell.models / "ours").is_dir()


def test_verify_names_a_changed_file_and_export_writes_none_of_it(imported: tuple[Shell, Any]) -> None:
    shell, document = imported
    assert shell.run("models", "verify").stdout == "box-unet: in order\nours: in order\n"
    shell.run("models", "export", "ours", "exported.safetensors")
    exported = (shell.folder / "exported.safetensors").read_bytes()
    assert sha256(exported).hexdigest() == document["weights_sha256"]
    assert "is there already" in shell.run("models", "export", "ours", "exported.safetensors", expect=2).stderr
    graph = shell.models / "ours" / "encoder.onnx"
    content = graph.read_bytes()
    graph.write_bytes(content[:-1] + b"\x00")
    try:
        (found,) = shell.json("models", "verify", "ours", expect=1)["models"]
        assert found["changes"][0].startswith(f"{graph} has changed: its sha256 is")
        assert "encoder.onnx has changed" in shell.run("models", "export", "ours", "x.safetensors", expect=1).stderr
    finally:
        graph.write_bytes(content)


def test_the_model_that_comes_along_is_shown_verified_and_exported(shell: Shell) -> None:
    shown = shell.json("models", "show", "box-unet")
    weights = shown["lineage"]["weights_sha256"]
    assert (shown["state"], shown["catalog"]["card"]) == ("comes with dicomnode", "box-unet/README.md")
    assert 1_000_000 < shown["bytes"] < 6_000_000
    (listed,) = (row for row in shell.json("models", "list")["models"] if row["name"] == "box-unet")
    assert (listed["weights_sha256"], listed["licence"]) == (weights, "Apache-2.0")
    assert shell.run("models", "verify", "box-unet").stdout == "box-unet: in order\n"
    shell.run("models", "export", "box-unet", "weights.safetensors")
    assert sha256((shell.folder / "weights.safetensors").read_bytes()).hexdigest() == weights


def test_weights_of_another_network_are_one_line_on_stderr(shell: Shell) -> None:
    weights = random_weights(2)
    del weights["mask_decoder.iou_token.weight"]
    (shell.folder / "small.pth").write_bytes(
        torch_zip({**weights, "head.bias": weights["prompt_encoder.no_mask_embed.weight"]})
    )
    told = shell.run("models", "import", "small.pth", expect=1).stderr
    assert told.count("\n") == 1
    assert "small.pth: BAD_MODEL: found 435 tensors, 434 of which fit" in told
    assert "1 is missing: mask_decoder.iou_token.weight; 1 is unexpected: head.bias" in told
    assert not shell.models.exists()


def test_a_checkpoint_that_would_run_something_is_refused(shell: Shell) -> None:
    evil = Named("os", "system", ("touch ran",))
    (shell.folder / "evil.pth").write_bytes(torch_zip({"model": {}, "evil": evil}))
    assert "it asks for 'os.system'" in shell.run("models", "import", "evil.pth", expect=1).stderr
    assert not (shell.folder / "ran").exists()


def test_default_without_a_settings_file_is_told_before_anything_is_done(shell: Shell, checkpoint: Path) -> None:
    assert "config init" in shell.run("models", "import", str(checkpoint), "--default", expect=2).stderr
    assert not shell.models.exists()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "lite_medsam.pth").write_bytes(b"<html>Sign in</html>")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the server's own signature
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "site")) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_pull_takes_no_other_file_than_the_published_one(shell: Shell, site: str) -> None:
    url = f"{site}/lite_medsam.pth"
    told = shell.run("models", "pull", "lite-medsam", "--from", url, expect=1).stderr
    assert f"{url}: it gives another file than the published one" in told
    assert "1799e59ab4bd2448cdb76710fe18097086fb7c82" in told
    assert "with a browser it is found at https://drive.google.com" in told
    missing = shell.run("models", "pull", "lite-medsam", "--from", f"{site}/missing", expect=1).stderr
    assert "it answers 404" in missing
    assert [one["state"] for one in shell.json("models", "list")["models"]] == [
        *2 * ["comes with dicomnode"],
        "not here",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pull", "classical"], "it comes with dicomnode"),
        (["pull", "box-unet"], "it comes with dicomnode"),
        (["remove", "box-unet"], "it comes with dicomnode"),
        (["quantize", "box-unet", "."], "only an encoder.onnx is quantised"),
        (["pull", "magic"], "there are: box-unet, classical, lite-medsam"),
        (["show", "magic"], "there are: box-unet, classical"),
        (["import", "nothing.pth"], "does not exist"),
    ],
)
def test_a_name_that_is_none_is_wrong_usage(shell: Shell, arguments: list[str], says: str) -> None:
    told = shell.run("models", *arguments, expect=2).stderr
    assert says in " ".join(told.replace("│", "").split())
