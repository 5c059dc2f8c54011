import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnode.store.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_what_was_put_is_there(spool: Spool) -> None:
    spool.put("a/b/one.dcm", [b"head", b"body"])
    with spool.open("a/b/one.dcm") as file:
        assert file.read() == b"headbody"


def test_no_unfinished_file_is_left_after_a_put(spool: Spool) -> None:
    spool.put("a/one.dcm", [b"body"])
    assert list(spool.path("incoming").iterdir()) == []
    assert list(spool.keys()) == ["a/one.dcm"]


def test_a_put_that_fails_leaves_nothing(spool: Spool) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match="No space left"):
        spool.put("a/one.dcm", chunks())
    assert list(spool.path("incoming").iterdir()) == []
    assert list(spool.keys()) == []


def test_a_second_put_replaces_the_file_whole(spool: Spool) -> None:
    spool.put("one.dcm", [b"a long first body"])
    spool.put("one.dcm", [b"short"])
    assert spool.path("one.dcm").read_bytes() == b"short"


def test_a_deleted_file_is_gone_and_deleting_it_again_does_nothing(spool: Spool) -> None:
    spool.put("one.dcm", [b"body"])
    spool.delete("one.dcm")
    spool.delete("one.dcm")
    assert list(spool.keys()) == []


@pytest.mark.parametrize("key", ["../one.dcm", "/etc/one.dcm", "a/../../one.dcm", ""])
def test_a_key_that_leads_out_of_the_spool_raises(spool: Spool, key: str) -> None:
    with pytest.raises(ValueError, match="leads out of the spool"):
        spool.put(key, [b"body"])


def test_a_sweep_removes_unfinished_files_and_lays_aside_those_that_no_row_knows(spool: Spool) -> None:
    spool.put("a/known.dcm", [b"body"])
    spool.put("a/stranger.dcm", [b"body"])
    spool.path("incoming/half.part").write_bytes(b"half")
    assert spool.sweep({"a/known.dcm"}) == 2
    assert list(spool.keys()) == ["a/known.dcm"]
    assert spool.path("orphans/a/stranger.dcm").read_bytes() == b"body"
    assert list(spool.path("incoming").iterdir()) == []
    assert spool.sweep({"a/known.dcm"}) == 0


def test_what_was_laid_aside_and_is_known_goes_back(spool: Spool) -> None:
    spool.put("a/one.dcm", [b"body"])
    assert spool.sweep(()) == 1
    assert spool.sweep({"a/one.dcm"}) == 1
    assert spool.path("a/one.dcm").read_bytes() == b"body"
    assert not spool.path("orphans/a/one.dcm").exists()


def test_what_was_laid_aside_is_gone_once_it_is_put_again(spool: Spool) -> None:
    spool.put("a/one.dcm", [b"body"])
    assert spool.sweep(()) == 1
    spool.put("a/one.dcm", [b"body"])
    assert not spool.path("orphans/a/one.dcm").exists()
    assert list(spool.keys()) == ["a/one.dcm"]


def test_a_new_file_is_named_before_it_is_flushed_and_one_in_the_place_of_another_flushed_first(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.put("studies/1/2/before.dcm", [b"makes the folder"])
    done: list[str] = []
    rename, fsync = os.rename, os.fsync

    def renamed(source: str, target: str) -> None:
        done.append("name")
        rename(source, target)

    def flushed(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(os, "fsync", flushed)
    spool.put("studies/1/2/3.dcm", [b"it"])
    assert done == ["name", "file", "folder"]
    done.clear()
    spool.put("studies/1/2/3.dcm", [b"it"])
    assert done == ["file", "name", "file", "folder"]


@pytest.mark.parametrize(
    "sizes", [[1], [70_000, 70_000], [314, 131_060, 131_060, 131_060, 676], [65_000, 600, 5000, 200_000]]
)
def test_what_is_written_in_pieces_of_any_size_is_whole(spool: Spool, sizes: list[int]) -> None:
    pieces = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    with spool.writing() as part:
        for piece in pieces:
            part.write(piece)
        assert part.reading(0, b"").read() == b"".join(pieces)
        part.write(b"more" * 30_000)
        part.keep("it")
    assert spool.path("it").read_bytes() == b"".join(pieces) + b"more" * 30_000


def test_what_is_written_ends_with_a_page_until_the_end(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []
    writev = os.writev

    def written(descriptor: int, pieces: list[bytes]) -> int:
        size = writev(descriptor, pieces)
        ends.append(os.lseek(descriptor, 0, os.SEEK_CUR))
        return size

    monkeypatch.setattr(os, "writev", written)
    spool.put("it", [b"h" * 314, *[b"x" * 131_060] * 4, b"y" * 676])
    assert ends == [131_072, 262_144, 393_216, 524_288, 525_230]
