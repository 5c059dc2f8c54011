"""How the installed command tells what is wrong: one line on stderr, and an exit code."""

import subprocess
import sys
from pathlib import Path

DICOMNODE = Path(sys.executable).parent / "dicomnode"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DICOMNODE, *arguments],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_unknown_model_is_wrong_usage(tmp_path: Path) -> None:
    done = run(tmp_path, "segment", ".", "--model", "magic")
    assert done.returncode == 2
    folder = tmp_path / ".local/share/dicomnode/models"
    expected = f"dicomnode: model 'magic': BAD_SETTING: there is none in {folder}; there are: box-unet, classical\n"
    assert done.stderr == expected


def test_serving_with_wrong_settings_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "dicomnode.toml").write_text("[listener]\nprot = 1\n", encoding="utf-8")
    done = run(tmp_path, "serve")
    assert done.returncode == 2
    assert done.stderr.endswith("line 2: listener.prot: there is no such setting; did you mean port?\n")
    assert done.stderr.count("\n") == 1


def test_serving_without_the_settings_file_asked_for_is_wrong_usage(tmp_path: Path) -> None:
    done = run(tmp_path, "serve", "--config", "none.toml")
    assert done.returncode == 2
    assert "there is no such file, and --config asks for it" in done.stderr
