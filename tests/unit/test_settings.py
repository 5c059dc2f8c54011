"""The settings: their values, the order of look-up, and what an error says."""

from pathlib import Path

import pytest

from dicomnode.dicom.labels import read_tables
from dicomnode.domain import FOLLOW, JobOptions, ObjectKind, OutputProfile, Rule, SegForm, SegSyntax, SegType, Strategy
from dicomnode.errors import SettingsError
from dicomnode.settings import Place, Settings, Surroundings, get, parse, places
from dicomnode.settings.toml_text import line_of, value_of, with_value

HERE = Surroundings(environment={"HOME": "/home/user"}, folder=Path("/srv"))
FILE = Path("/etc/site/dicomnode.toml")
PACS = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n'


PROFILE = '[[profiles]]\nname = "viewer"\nobjects = ["SR", "SEG"]\nseg = ["labelmap-rle", "binary-deflated"]\n'


def parsed(text: str) -> Settings:
    return parse(text, FILE, HERE)


def test_an_empty_file_means_the_defaults() -> None:
    settings = parsed("")
    assert settings.node.ae_title == "DICOMNODE"
    assert settings.listener.host == "0.0.0.0"  # noqa: S104 - the documented default
    assert settings.listener.port == 11112
    assert settings.readiness.quiet_seconds == 10.0
    assert settings.model.name == "box-unet"
    assert settings.prompts.roi is None
    assert settings.destinations == ()


def test_the_data_folder_lies_in_the_users_home_by_default() -> None:
    assert parsed("").node.data_dir == Path("/home/user/.local/share/dicomnode")


def test_the_data_folder_follows_xdg_data_home() -> None:
    around = Surroundings(environment={"XDG_DATA_HOME": "/big"}, folder=Path("/"))
    assert parse("", None, around).node.data_dir == Path("/big/dicomnode")


def test_a_relative_data_folder_is_relative_to_the_settings_file() -> None:
    assert parsed('[node]\ndata_dir = "data"').node.data_dir == Path("/etc/site/data")


def test_a_tilde_in_the_data_folder_is_the_users_home() -> None:
    assert parsed('[node]\ndata_dir = "~/node"').node.data_dir == Path("/home/user/node")


def test_a_data_folder_without_any_home_must_be_set() -> None:
    with pytest.raises(SettingsError, match=r"node\.data_dir: BAD_SETTING: has no default"):
        parse("", FILE, Surroundings(environment={}, folder=Path("/")))


def test_imported_models_lie_in_the_data_folder_by_default() -> None:
    assert parsed("").models_folder == Path("/home/user/.local/share/dicomnode/models")
    assert parsed('[node]\ndata_dir = "data"').models_folder == Path("/etc/site/data/models")


@pytest.mark.parametrize(
    ("given", "means"), [("models", "/etc/site/models"), ("~/models", "/home/user/models"), ("/models", "/models")]
)
def test_a_models_folder_is_relative_to_the_settings_file(given: str, means: str) -> None:
    assert parsed(f'[model]\nfolder = "{given}"').models_folder == Path(means)


def test_an_imported_model_may_be_named() -> None:
    assert parsed('[model]\nname = "lite-medsam"').model.name == "lite-medsam"


def test_a_whole_number_is_a_number_of_seconds() -> None:
    assert parsed("[readiness]\nquiet_seconds = 3").readiness.quiet_seconds == 3.0


def test_what_is_set_of_prompts_is_asked_of_each_job() -> None:
    text = """[prompts]
roi = "liver"
roi_types = ["external"]
margin_mm = 2
interpolate = false
split_components = true
length_as_box = true
swap_spacing = true
"""
    assert parsed(text).job_options() == JobOptions(
        roi="liver",
        roi_types=("EXTERNAL",),
        margin_mm=2.0,
        interpolate=False,
        split_components=True,
        length_as_box=True,
        swap_spacing=True,
        names_digest=read_tables().digest,
    )


def test_what_is_set_of_the_model_and_its_rules_is_asked_of_each_job() -> None:
    text = """[model]
strategy = "static"
propagate = "auto"
window = "60/300"
reference = true

[[model.rules]]
modality = ["pt ", "MR"]
strategy = "triplanar-vote"

[[model.rules]]
body_part = ["chest"]
window = "lung"

[[model.rules]]
roi = "node.*"
propagate = 0
"""
    options = parsed(text).job_options()
    assert (options.strategy, options.propagate) == (Strategy.STATIC, FOLLOW)
    assert (options.window, options.reference) == ("60/300", True)
    assert options.rules == (
        Rule(modality=("PT", "MR"), strategy=Strategy.TRIPLANAR_VOTE),
        Rule(body_part=("CHEST",), window="lung"),
        Rule(roi="node.*", propagate=0),
    )
    assert parsed("[model]\npropagate = 3").job_options().propagate == 3


def test_a_destination_gets_the_seg_alone_by_default() -> None:
    settings = parsed(PACS)
    assert settings.output_profiles()["pacs"].objects == (ObjectKind.SEG,)
    assert settings.output_profiles()["pacs"].types == (SegType.BINARY,)


def test_a_profile_of_the_file_is_what_its_destination_gets() -> None:
    settings = parsed(PACS + 'profile = "viewer"\n' + PROFILE)
    assert settings.output_profiles() == {
        "pacs": OutputProfile(
            name="viewer",
            objects=(ObjectKind.SEG, ObjectKind.SR),
            seg=(
                SegForm(type=SegType.LABELMAP, syntax=SegSyntax.RLE),
                SegForm(type=SegType.BINARY, syntax=SegSyntax.DEFLATED),
            ),
        )
    }


def test_of_each_job_is_asked_what_all_destinations_want() -> None:
    planning = PACS.replace('"pacs"', '"tps"') + 'profile = "planning"\n'
    options = parsed(PACS + 'profile = "viewer"\n' + planning + PROFILE).job_options()
    assert options.objects == (ObjectKind.SEG, ObjectKind.SR, ObjectKind.RTSTRUCT)
    assert options.seg_types == (SegType.BINARY, SegType.LABELMAP)
    assert (parsed("").job_options().objects, parsed("").job_options().seg_types) == (
        (ObjectKind.SEG,),
        (SegType.BINARY,),
    )


def test_a_seg_is_made_even_where_no_destination_wants_one() -> None:
    picture = '[[profiles]]\nname = "film"\nobjects = ["SC"]\n'
    options = parsed(PACS + 'profile = "film"\n' + picture).job_options()
    assert options.objects == (ObjectKind.SEG, ObjectKind.SC)


def test_profiles_that_are_shown_are_profiles_again() -> None:
    settings = parsed(PACS + 'profile = "viewer"\n' + PROFILE)
    assert Settings.model_validate(settings.model_dump(mode="json", exclude_none=True)) == settings
    assert get(settings, "profiles.viewer.seg") == ["labelmap-rle", "binary-deflated"]


def test_settings_that_are_shown_are_settings_again() -> None:
    text = '[model]\npropagate = "auto"\n[[model.rules]]\nmodality = ["MR"]\npropagate = 2\n'
    shown = parsed(text).model_dump(mode="json", exclude_none=True)
    assert shown["model"]["propagate"] == "auto"
    assert Settings.model_validate(shown) == parsed(text)


def test_the_content_of_the_tables_of_names_belongs_to_what_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "labels.toml"
    digests = []
    for name in ("NTX", "Nephros"):
        file.write_text(f'[kidney]\ncode = ["64033007", "SCT", "Kidney"]\nnames = ["{name}"]\n')
        options = parsed(f'[prompts]\nlabels = ["{file}"]').job_options()
        assert options.labels == (str(file),)
        digests.append(options.names_digest)
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[listener]\nport = 65536", "line 2: listener.port: found 65536; allowed: a whole number from 0 to 65535"),
        ('[listener]\nport = "11112"', "line 2: listener.port: found '11112'; allowed: a whole number"),
        ("[listener]\nport = true", "line 2: listener.port: found True; allowed"),
        ("[listener]\n\nidle_seconds = nan", "line 3: listener.idle_seconds: found nan; allowed"),
        ("[readiness]\nquiet_seconds = -1", "found -1; allowed: a number of seconds, 0 or more"),
        ('[node]\nae_title = "SEVENTEEN_LETTERS"', "found 'SEVENTEEN_LETTERS'; allowed: 1 to 16"),
        ('[node]\nae_title = "A\\\\B"', "no backslash"),
        ('[node]\nae_title = "  "', "line 2: node.ae_title: found '  '"),
        ('[node]\ndata_dir = ""', "line 2: node.data_dir: found ''; allowed: the path of a folder"),
        ('[node]\ndata_dir = "~sam/data"', "found '~sam/data'; allowed: the path of a folder"),
        ('[model]\nname = "Magic"', "found 'Magic'; allowed: box-unet, classical, or the name of an imported model"),
        ('[model]\nname = "../x"', "found '../x'; allowed: box-unet, classical"),
        ('[model]\nfolder = ""', "line 2: model.folder: found ''; allowed: the path of a folder"),
        ("[model]\nfolder = 3", "line 2: model.folder: found 3; allowed: the path of a folder"),
        ('[model]\nstrategy = "guess"', "line 2: model.strategy: found 'guess'; allowed: one of: auto, per-plane"),
        ("[model]\npropagate = -1", "found -1; allowed: a whole number of planes, 0 or more"),
        ("[model]\npropagate = true", "found True; allowed: a whole number of planes"),
        ("[model]\npropagate = 1.5", "found 1.5; allowed: a whole number of planes"),
        ('[model]\nwindow = "wide"', "line 2: model.window: found 'wide'; allowed: one of: auto, percentiles"),
        ('[model]\nwindow = "40/0"', "found '40/0'"),
        ("[model]\nreference = 1", "found 1; allowed: true or false"),
        ("[model]\nrules = 1", "line 2: model.rules: found 1; allowed: [[model.rules]] tables"),
        ("[model]\nrules = [1]", "model.rules.#1: found 1; allowed: a table with window"),
        ('[[model.rules]]\nstrategy = "x"', "line 2: model.rules.#1.strategy: found 'x'; allowed: one of: auto"),
        ("[[model.rules]]\npropagate = 1\nrio = 2", "line 3: model.rules.#1.rio: there is no such setting"),
        ('[[model.rules]]\nroi = "a"', "(it has no window, strategy or propagate)"),
        ('[[model.rules]]\nroi = "a"\nwindow = "lung"', "(a window is of a whole stack, so that it goes without roi)"),
        ('[[model.rules]]\nmodality = "CT"\npropagate = 1', "found 'CT'; allowed: a list of modalities"),
        ('[[model.rules]]\nmodality = ["C-T"]\npropagate = 1', "model.rules.#1.modality: found ['C-T']"),
        ('[[model.rules]]\npropagate = 1\n[[model.rules]]\nroi = "("\npropagate = 1', "line 4: model.rules.#2.roi"),
        ('[prompts]\nroi = "("', "unterminated"),
        ("[prompts]\nmargin_mm = -0.5", "found -0.5; allowed: a number of millimetres, 0 or more"),
        ("[prompts]\nown_results = 1", "found 1; allowed: true or false"),
        ('[prompts]\nroi_types = ["a\\\\b"]', "prompts.roi_types: found ['a\\\\b']; allowed: a list of RT ROI"),
        ('[log]\nlevel = "LOUD"', "allowed: one of: DEBUG, INFO, WARNING, ERROR"),
        ("listener = 3", "line 1: listener: found 3; allowed: a [listener] table"),
        ("[listener]\nprot = 1", "line 2: listener.prot: there is no such setting; did you mean port?"),
        ("[listner]\nport = 1", "line 1: listner: there is no such setting; did you mean listener?"),
        ("[zzz]", "there is no such setting; there are: node, listener"),
        ("[listener\n", "line 1"),
        ("destinations = [1]", "destinations.#1: found 1; allowed: a table with name"),
        ('[[destinations]]\nname = "pacs"', "line 1: destinations.pacs: found"),
        (PACS + PACS, "two have the name pacs"),
        (PACS + PACS.replace('"pacs"', '"P"'), "line 7: destinations.P.name: found 'P'; allowed: lower-case"),
        (
            PACS + 'profile = "viewer"',
            "line 6: destinations.pacs.profile: found 'viewer'; allowed: one of: seg, results",
        ),
        (PACS + "profile = 1", "line 6: destinations.pacs.profile: found 1; allowed: one of: seg, results"),
        (PROFILE + PROFILE, "two profiles have the name viewer"),
        (PROFILE.replace("viewer", "results"), "two profiles have the name results"),
        (PROFILE.replace("viewer", "Viewer"), "line 2: profiles.Viewer.name: found 'Viewer'; allowed: lower-case"),
        (PROFILE.replace('"SR", "SEG"', '"SR"'), "(an SR refers to the SEG, so that it goes with SEG only)"),
        (PROFILE.replace('"SR", "SEG"', ""), "line 3: profiles.viewer.objects: found [] (it is empty); allowed"),
        (PROFILE.replace('"SR", "SEG"', '"SEG", "SEG"'), "(SEG stands there twice); allowed: a list of: SEG, SR"),
        (PROFILE.replace('"SR"', '"KOS"'), "line 3: profiles.viewer.objects.#1: found 'KOS'; allowed: a list of: SEG"),
        (
            PROFILE.replace("binary-deflated", "binary-rle"),
            "line 4: profiles.viewer.seg: found ['labelmap-rle', 'binary-",
        ),
        (
            PROFILE.replace("binary-deflated", "binary-rle"),
            "(there is no binary-rle); allowed: a list of: binary, binary-",
        ),
        (PROFILE.replace("binary-deflated", "labelmap-rle"), "(labelmap-rle stands there twice)"),
        ('[[profiles]]\nname = "viewer"', "profiles.viewer.objects is missing; it must be a list of: SEG, SR"),
        ("profiles = [1]", "profiles.#1: found 1; allowed: a table with name, objects"),
        (PACS.replace("104", "0"), "line 5: destinations.pacs.port: found 0; allowed: a whole number from 1"),
    ],
)
def test_a_mistake_names_file_line_key_and_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parsed(text)
    assert str(caught.value).startswith("/etc/site/dicomnode.toml: BAD_SETTING: ")
    assert says in str(caught.value)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines() -> None:
    with pytest.raises(SettingsError, match=r"line 2: listener\.port.*; line 4: log\.level"):
        parsed('[listener]\nport = -1\n[log]\nlevel = "x"\n')


def test_places_are_in_the_documented_order() -> None:
    around = Surroundings(
        environment={"DICOMNODE_CONFIG": "site.toml", "XDG_CONFIG_HOME": "/xdg", "HOME": "/home/user"},
        folder=Path("/srv"),
    )
    assert places(Path("mine.toml"), around) == (
        Place(source="--config", path=Path("/srv/mine.toml"), required=True),
        Place(source="DICOMNODE_CONFIG", path=Path("/srv/site.toml"), required=True),
        Place(source="current folder", path=Path("/srv/dicomnode.toml")),
        Place(source="user", path=Path("/xdg/dicomnode/dicomnode.toml")),
        Place(source="system", path=Path("/etc/dicomnode/dicomnode.toml")),
    )


def test_without_xdg_config_home_the_users_file_is_below_dot_config() -> None:
    assert Path("/home/user/.config/dicomnode/dicomnode.toml") in [place.path for place in places(None, HERE)]


def test_a_destinations_port_is_addressed_by_its_name() -> None:
    assert get(parsed(PACS), "destinations.pacs.port") == 104


def test_a_table_is_got_whole() -> None:
    assert get(parsed(""), "log") == {"level": "INFO", "format": "text"}


@pytest.mark.parametrize("key", ["listener.prt", "listener.port.x", "destinations.pax.port", ""])
def test_a_key_that_is_no_setting_is_refused(key: str) -> None:
    with pytest.raises(SettingsError, match="there is no such setting"):
        get(parsed(PACS), key)


def test_a_misspelt_key_gets_a_proposal() -> None:
    with pytest.raises(SettingsError, match=r"did you mean listener\?"):
        get(parsed(PACS), "listner.port")


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("a", "x"), 3),
        (("b", "c", "y"), 7),
        (("t", 1, "z"), 11),
        (("t", 1, "missing"), 10),
        (("t", 0), 8),
        (("d", "e"), 1),
        (("a", "inline", "k"), 4),
        (("nowhere",), None),
    ],
)
def test_the_line_of_a_key_is_found(location: tuple[str | int, ...], line: int | None) -> None:
    text = 'd.e = 1\n[a] # x = 0\nx = 1 # comment\ninline = {k = 1}\n\n[b.c]\n"y" = 2\n[[t]]\nz = 1\n[[t]]\nz = 2\n'
    assert line_of(text, location) == line


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("[a-z]+", "[a-z]+"), ('"1"', "1"), ("", ""), ("true", True)])
def test_a_value_is_toml_or_else_plain_text(text: str, value: object) -> None:
    assert value_of(text) == value


def test_changing_a_key_keeps_comments_and_order() -> None:
    assert with_value("# top\n[b]\nx = 1 # why\n\n[a]\n", ("b", "x"), 2) == "# top\n[b]\nx = 2 # why\n\n[a]\n"


def test_a_missing_table_is_made() -> None:
    assert with_value("# top\n", ("log", "level"), "DEBUG") == '# top\n\n[log]\nlevel = "DEBUG"\n'


SOURCE = '[[sources]]\nname = "archive"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n'


@pytest.mark.parametrize(
    ("pull", "words"),
    [
        ('cron = "0 25 * * *"', r"line 9: pulls.nightly.cron: found '0 25 .*' \('25' is no hour from 0 to 23\)"),
        (
            'cron = "0 2 * * *"\nquery = {PatientsName = "A"}',
            "line 10: pulls.nightly.query: .*PatientsName is no DICOM keyword",
        ),
    ],
)
def test_a_mistake_in_a_pull_names_its_line(pull: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parsed(f'{SOURCE}[[pulls]]\nname = "nightly"\nsource = "archive"\n{pull}\n')
