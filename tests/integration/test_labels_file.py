"""A site's own tables of names: read from files, over the shipped one, and named in the settings."""

from pathlib import Path

import pytest

from dicomnode.dicom.naming import Tables, name_of, read_tables
from dicomnode.errors import SettingsError
from dicomnode.settings import Surroundings, load, set_value

NTX = '[transplant]\ncode = ["64033007", "SCT", "Kidney"]\nnames = ["NTX", "Liver"]\npaired = true\n'
LESION = '["52988006", "SCT", "Lesion"]'


def tables(folder: Path, *contents: str) -> Tables:
    files = [folder / f"{number}.toml" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_text(content, encoding="utf-8")
    return read_tables(files)


def meaning(label: str, among: Tables) -> tuple[str, ...] | None:
    found = name_of(label, among)
    return (found.type.meaning, *(modifier.meaning for modifier in found.modifiers)) if found else None


def test_a_sites_names_are_known_beside_the_shipped_ones(tmp_path: Path) -> None:
    site = tables(tmp_path, NTX)
    assert meaning("ntx re", site) == ("Kidney", "Right")
    assert meaning("Milz", site) == ("Spleen",)


def test_a_sites_name_wins_over_the_shipped_one(tmp_path: Path) -> None:
    site = tables(tmp_path, NTX)
    assert meaning("Liver", site) == ("Kidney",)
    assert meaning("Liver_L", site) == ("Kidney", "Left")


def test_a_shipped_pair_is_none_where_the_site_says_so(tmp_path: Path) -> None:
    site = tables(tmp_path, f'[own]\ncode = {LESION}\nnames = ["kidney"]\n')
    assert meaning("kidney", site) == ("Lesion",)
    assert meaning("kidney_left", site) is None
    assert meaning("Niere li", site) == ("Kidney", "Left")


def test_a_sites_name_with_a_side_in_it_wins_over_the_side(tmp_path: Path) -> None:
    site = tables(tmp_path, f'[own]\ncode = {LESION}\nnames = ["Kidney L"]\n')
    assert meaning("kidney_l", site) == ("Lesion",)
    assert meaning("kidney_r", site) == ("Kidney", "Right")


def test_the_last_file_counts(tmp_path: Path) -> None:
    site = tables(tmp_path, NTX, f'[own]\ncode = {LESION}\nnames = ["ntx"]\n')
    assert meaning("NTX", site) == ("Lesion",)


def test_names_of_sides_colour_and_category_are_a_sites_too(tmp_path: Path) -> None:
    site = tables(
        tmp_path,
        '[own]\ncode = ["A1", "99SITE", "Graft"]\ncategory = ["91723000", "SCT", "Anatomical Structure"]\n'
        'names = ["graft"]\nboth = ["grafts"]\nleft = ["gl"]\nright = ["gr"]\ncolour = [1, 2, 3]\n',
    )
    assert [meaning(name, site) for name in ("graft", "grafts", "GL", "g r")] == [
        ("Graft",),
        ("Graft", "Bilateral"),
        ("Graft", "Left"),
        ("Graft", "Right"),
    ]
    found = name_of("graft", site)
    assert found is not None
    assert (found.colour, found.category.value) == ((1, 2, 3), "91723000")


def test_a_name_in_another_script_is_compared_as_it_is(tmp_path: Path) -> None:
    site = tables(tmp_path, f'[own]\ncode = {LESION}\nnames = ["がん"]\n')
    assert meaning("がん", site) == ("Lesion",)
    assert meaning("かん", site) is None


def test_tables_with_other_content_have_another_digest(tmp_path: Path) -> None:
    assert tables(tmp_path, NTX).digest == tables(tmp_path, NTX).digest
    assert len({read_tables().digest, tables(tmp_path, NTX).digest, tables(tmp_path, NTX, NTX).digest}) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[x", "is no valid TOML"),
        ("x = 3", "x: found 3; allowed: a [x] table with code and names"),
        (f"[x]\ncode = {LESION}", "x.names is missing; it must be a list of names"),
        ('[x]\nnames = ["a"]', "x.code is missing; it must be three texts"),
        (f'[x]\ncode = {LESION}\nnames = ["a"]\nnmaes = ["b"]', "x.nmaes: there is no such key; there are: code"),
        (f'[x]\ncode = {LESION}\nnames = "a"', "x.names: found 'a'; allowed: a list of names"),
        (f"[x]\ncode = {LESION}\nnames = []", "x.names: found []; allowed: a list of names"),
        (f'[x]\ncode = {LESION}\nnames = ["_"]', "x.names.0: found '_'; allowed: a list of names, each with a letter"),
        (f'[x]\ncode = {LESION}\nnames = ["a"]\npaired = 1', "x.paired: found 1; allowed: true or false"),
        (f'[x]\ncode = {LESION}\nnames = ["a"]\ncolour = [1, 2]', "x.colour.2"),
        (f'[x]\ncode = {LESION}\nnames = ["a"]\ncolour = [1, 2, 256]', "x.colour.2: found 256; allowed: three whole"),
        ('[x]\ncode = ["1", "SCT"]\nnames = ["a"]', "x.code.2"),
        ('[x]\ncode = ["12345678901234567", "SCT", "x"]\nnames = ["a"]', "x.code.0: found '12345678901234567'"),
        ('[x]\ncode = ["1\\\\2", "SCT", "x"]\nnames = ["a"]', "three texts without backslash"),
        (
            f'[x]\ncode = {LESION}\nnames = ["a b"]\n[y]\ncode = ["1", "99S", "y"]\nnames = ["A_B"]',
            "y: the name 'A_B' means something else in x",
        ),
        (f'[x]\ncode = {LESION}\nnames = ["a"]\nleft = ["a"]', "x: the name 'a' means something else in x"),
    ],
)
def test_a_mistake_names_file_structure_key_and_what_is_allowed(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        tables(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / '0.toml'}: BAD_SETTING: ")
    assert says in str(caught.value)


def test_a_table_that_is_not_there_is_told() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: BAD_SETTING: .*No such file"):
        read_tables([Path("/nowhere.toml")])


def test_a_table_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'["L\xe4sion"]')
    with pytest.raises(SettingsError, match="byte 3 is not UTF-8"):
        read_tables([tmp_path / "latin.toml"])


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Return the path of a settings file that names site.toml beside it, which is still to be written."""
    path = tmp_path / "dicomnode.toml"
    path.write_text('[prompts]\nlabels = ["site.toml"]\n', encoding="utf-8")
    return path


def around(folder: Path) -> Surroundings:
    return Surroundings(environment={"HOME": str(folder)}, folder=Path("/"))


def test_the_settings_name_tables_relative_to_their_own_file(tmp_path: Path, settings: Path) -> None:
    (tmp_path / "site.toml").write_text(NTX, encoding="utf-8")
    loaded = load(settings, around(tmp_path)).settings
    assert loaded.prompts.labels == [tmp_path / "site.toml"]
    assert meaning("NTX", read_tables(loaded.prompts.labels)) == ("Kidney",)


def test_settings_that_name_a_wrong_table_are_wrong(tmp_path: Path, settings: Path) -> None:
    with pytest.raises(SettingsError, match=r"site\.toml.*No such file"):
        load(settings, around(tmp_path))
    (tmp_path / "site.toml").write_text("[x]\ncolor = 1\n", encoding="utf-8")
    with pytest.raises(
        SettingsError, match=r"site\.toml: BAD_SETTING: x\.code is missing.*x\.color: there is no such key"
    ):
        load(settings, around(tmp_path))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ('"site.toml"', "line 2: prompts.labels: found 'site.toml'; allowed: a list of paths of files"),
        ("[3]", "line 2: prompts.labels.#1: found 3; allowed: a list of paths of files"),
        ('[""]', "line 2: prompts.labels.#1: found ''; allowed: a list of paths of files"),
        ('["~sam/x.toml"]', "found '~sam/x.toml'; allowed: a list of paths of files"),
    ],
)
def test_labels_that_are_no_paths_are_told(tmp_path: Path, settings: Path, value: str, says: str) -> None:
    settings.write_text(f"[prompts]\nlabels = {value}\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(settings, around(tmp_path))
    assert says in str(caught.value)


def test_setting_a_table_that_is_not_there_changes_nothing(tmp_path: Path, settings: Path) -> None:
    settings.write_text("[prompts]\nlabels = []\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="No such file"):
        set_value(settings, "prompts.labels", '["site.toml"]', around(tmp_path))
    assert settings.read_text(encoding="utf-8") == "[prompts]\nlabels = []\n"
    (tmp_path / "site.toml").write_text(NTX, encoding="utf-8")
    set_value(settings, "prompts.labels", '["site.toml"]', around(tmp_path))
    assert load(settings, around(tmp_path)).settings.prompts.labels == [tmp_path / "site.toml"]
