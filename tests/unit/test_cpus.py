import os

import pytest

from dicomnode.cpus import usable_cpus


def test_the_processors_of_this_process_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 5}, raising=False)
    assert usable_cpus() == 3


@pytest.mark.parametrize(("known", "usable"), [(6, 6), (None, 1)])
def test_all_processors_count_where_the_system_knows_no_affinity(
    monkeypatch: pytest.MonkeyPatch, known: int | None, usable: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: known)
    assert usable_cpus() == usable
