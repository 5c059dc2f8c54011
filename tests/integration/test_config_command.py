"""`dicomnode config`, the installed command, on real files."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

DICOMNODE = Path(sys.executable).parent / "dicomnode"


class Shell:
    """Runs the command in a folder of its own, with nothing set but a home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "here"
        self.environment = {"HOME": str(folder / "home"), "PATH": "/usr/bin:/bin", "COLUMNS": "120"}
        self.folder.mkdir()

    def config(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [DICOMNODE, "config", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == expect, done.stderr
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def write(path: Path, ae_title: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'[node]\nae_title = "{ae_title}"\n', encoding="utf-8")


def test_init_writes_a_file_that_check_accepts(shell: Shell) -> None:
    assert "dicomnode.toml" in shell.config("init").stdout
    assert str(shell.folder / "dicomnode.toml") in shell.config("check").stdout


def test_init_leaves_a_file_that_is_there(shell: Shell) -> None:
    write(shell.folder / "dicomnode.toml", "MINE")
    assert "--force" in shell.config("init", expect=2).stderr
    assert "MINE" in (shell.folder / "dicomnode.toml").read_text(encoding="utf-8")
    shell.config("init", "--force")
    assert "MINE" not in (shell.folder / "dicomnode.toml").read_text(encoding="utf-8")


def test_init_into_a_folder_that_is_not_there_is_told(shell: Shell) -> None:
    assert "No such file or directory" in shell.config("init", "nowhere/x.toml", expect=2).stderr


def test_the_first_file_in_the_order_of_look_up_counts(shell: Shell) -> None:
    def title() -> str:
        return shell.config("get", "node.ae_title").stdout.strip()

    assert title() == "DICOMNODE"
    write(Path(shell.environment["HOME"]) / ".config/dicomnode/dicomnode.toml", "USER")
    assert title() == "USER"
    write(shell.folder / "xdg/dicomnode/dicomnode.toml", "XDG")
    shell.environment["XDG_CONFIG_HOME"] = str(shell.folder / "xdg")
    assert title() == "XDG"
    write(shell.folder / "dicomnode.toml", "FOLDER")
    assert title() == "FOLDER"
    write(shell.folder / "other.toml", "VARIABLE")
    shell.environment["DICOMNODE_CONFIG"] = "other.toml"
    assert title() == "VARIABLE"
    write(shell.folder / "third.toml", "OPTION")
    assert shell.config("get", "node.ae_title", "--config", "third.toml").stdout.strip() == "OPTION"


def test_a_file_that_was_asked_for_must_be_there(shell: Shell) -> None:
    assert "--config asks for it" in shell.config("check", "--config", "none.toml", expect=2).stderr
    shell.environment["DICOMNODE_CONFIG"] = "none.toml"
    assert "DICOMNODE_CONFIG asks for it" in shell.config("check", expect=2).stderr


def test_show_names_the_file_and_prints_settings_that_are_a_settings_file(shell: Shell) -> None:
    write(shell.folder / "dicomnode.toml", "MINE")
    shown = shell.config("show").stdout
    assert f"# from {shell.folder / 'dicomnode.toml'}" in shown
    assert tomllib.loads(shown)["node"]["ae_title"] == "MINE"
    (shell.folder / "again.toml").write_text(shown, encoding="utf-8")
    shell.config("check", "--config", "again.toml")


def test_show_as_json_is_one_document(shell: Shell) -> None:
    document = json.loads(shell.config("show", "--json").stdout)
    assert document["path"] is None
    assert [place["source"] for place in document["looked_up"]] == ["current folder", "user", "system"]
    assert document["settings"]["listener"]["port"] == 11112


def test_check_tells_every_mistake_in_one_line(shell: Shell) -> None:
    path = shell.folder / "dicomnode.toml"
    path.write_text("[listener]\nport = 70000\n[log]\nlevle = 1\n", encoding="utf-8")
    error = shell.config("check", expect=2).stderr
    assert error.count("\n") == 1
    assert f"{path}: BAD_SETTING: line 2: listener.port: found 70000; allowed: a whole number" in error
    assert "line 4: log.levle: there is no such setting; did you mean level?" in error


@pytest.mark.parametrize("content", [b"\xff\xfe", b"port = = 1"])
def test_a_file_that_is_no_toml_is_told(shell: Shell, content: bytes) -> None:
    (shell.folder / "dicomnode.toml").write_bytes(content)
    assert "dicomnode.toml: BAD_SETTING: " in shell.config("check", expect=2).stderr


def test_set_changes_one_line_and_keeps_the_comments(shell: Shell) -> None:
    shell.config("init")
    path = shell.folder / "dicomnode.toml"
    before = path.read_text(encoding="utf-8").splitlines()
    shell.config("set", "listener.port", "11113")
    after = path.read_text(encoding="utf-8").splitlines()
    assert [(old, new) for old, new in zip(before, after, strict=True) if old != new] == [
        ("port = 11112", "port = 11113")
    ]


def test_set_makes_a_key_that_is_not_there(shell: Shell) -> None:
    shell.config("init")
    shell.config("set", "prompts.roi", "(?i)^gtv")
    assert shell.config("get", "prompts.roi").stdout == "(?i)^gtv\n"
    assert tomllib.loads((shell.folder / "dicomnode.toml").read_text(encoding="utf-8"))["prompts"]["roi"] == "(?i)^gtv"


def test_set_takes_a_name_that_looks_like_a_number(shell: Shell) -> None:
    shell.config("init")
    shell.config("set", "node.ae_title", "4711")
    assert shell.config("get", "node.ae_title").stdout == "4711\n"


def test_a_value_that_is_not_allowed_changes_nothing(shell: Shell) -> None:
    shell.config("init")
    before = (shell.folder / "dicomnode.toml").read_bytes()
    error = shell.config("set", "listener.port", "many", expect=2).stderr
    assert "listener.port: found 'many'; allowed: a whole number from 0 to 65535" in error
    assert "did you mean port?" in shell.config("set", "listener.prot", "1", expect=2).stderr
    assert (shell.folder / "dicomnode.toml").read_bytes() == before
    assert [path.name for path in shell.folder.iterdir()] == ["dicomnode.toml"]


def test_destinations_are_added_whole_and_changed_by_name(shell: Shell) -> None:
    shell.config("init")
    assert "add it as a whole" in shell.config("set", "destinations.pacs.port", "104", expect=2).stderr
    shell.config("set", "destinations.pacs", '{ae_title = "PACS", host = "127.0.0.1", port = 104}')
    shell.config("set", "destinations.spare", '{ae_title = "SPARE", host = "127.0.0.1", port = 105}')
    shell.config("set", "destinations.pacs.port", "11113")
    assert shell.config("get", "destinations.pacs.port").stdout == "11113\n"
    found = json.loads(shell.config("get", "destinations").stdout)
    assert [(name, to["ae_title"], to["port"], to["profile"]) for name, to in found.items()] == [
        ("pacs", "PACS", 11113, "seg"),
        ("spare", "SPARE", 105, "seg"),
    ]


def test_profiles_are_added_whole_changed_by_name_and_given_to_destinations(shell: Shell) -> None:
    pacs = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n'
    (shell.folder / "dicomnode.toml").write_text(pacs, encoding="utf-8")
    assert "found 'viewer'" in shell.config("set", "destinations.pacs.profile", "viewer", expect=2).stderr
    shell.config("set", "profiles.viewer", '{objects = ["SEG", "SR"]}')
    shell.config("set", "profiles.viewer.seg", '["labelmap-rle", "binary"]')
    shell.config("set", "destinations.pacs.profile", "viewer")
    assert tomllib.loads(shell.config("show").stdout)["profiles"] == [
        {"name": "viewer", "objects": ["SEG", "SR"], "seg": ["labelmap-rle", "binary"]}
    ]


def test_a_destination_is_replaced_whole(shell: Shell) -> None:
    shell.config("init")
    shell.config("set", "destinations.pacs", '{ae_title = "PACS", host = "127.0.0.1", port = 104}')
    shell.config("set", "destinations.pacs", '{ae_title = "NEW", host = "127.0.0.1", port = 105}')
    assert json.loads(shell.config("get", "destinations.pacs").stdout)["ae_title"] == "NEW"


def test_destinations_written_in_one_line_are_changed_too(shell: Shell) -> None:
    path = shell.folder / "dicomnode.toml"
    path.write_text('destinations = [{name = "a", ae_title = "A", host = "h", port = 1}] # mine\n', encoding="utf-8")
    shell.config("set", "destinations.a.port", "2")
    shell.config("set", "destinations.b", '{ae_title = "B", host = "h", port = 3}')
    assert shell.config("get", "destinations.a.port").stdout == "2\n"
    assert shell.config("get", "destinations.b.port").stdout == "3\n"
    assert "# mine" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("node", "is a table; set one of: node.ae_title, node.data_dir"),
        ("destinations", "name the destination"),
        ("profiles.viewer.seg", "there is no profile viewer; add it as a whole"),
        ("destinations.pacs", "allowed: a table such as"),
        ("destinations.pacs.prt", "did you mean port?"),
        ("listener.port.x", "there is no such setting"),
        ("", "there is no such setting"),
    ],
)
def test_set_takes_only_settings_and_whole_destinations(shell: Shell, key: str, says: str) -> None:
    shell.config("init")
    assert says in shell.config("set", key, "3", expect=2).stderr


def test_set_without_a_settings_file_says_how_to_make_one(shell: Shell) -> None:
    assert "dicomnode config init" in shell.config("set", "listener.port", "1", expect=2).stderr


def test_set_keeps_the_files_permissions(shell: Shell) -> None:
    shell.config("init")
    path = shell.folder / "dicomnode.toml"
    path.chmod(0o640)
    shell.config("set", "listener.port", "11113")
    assert path.stat().st_mode & 0o777 == 0o640


def test_get_of_an_unknown_key_is_wrong_usage(shell: Shell) -> None:
    assert "did you mean port?" in shell.config("get", "listener.prt", expect=2).stderr
