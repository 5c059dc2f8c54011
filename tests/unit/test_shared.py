"""The shipped files are found."""

from dicomnode.shared import shared_file


def test_the_default_settings_file_is_found() -> None:
    assert shared_file("config/dicomnode.toml").is_file()
