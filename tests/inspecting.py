"""Run `dicomnode inspect --json` as a user does, and say what it found in few words."""

import json
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.reading import DICOMNODE


def inspect(*paths: Path, options: tuple[str, ...] = ()) -> tuple[int, Mapping[str, Any]]:
    """Run the installed command on `paths` and return its exit code and its document."""
    command: list[str | Path] = [DICOMNODE, "inspect", *paths, "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def stacks_in(document: Mapping[str, Any]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the SOP Instance UIDs of each stack's planes in their order, with its facts; sorted."""
    return sorted(
        (tuple(plane["sop_instance_uid"] for plane in stack["planes"]), tuple(stack["facts"]))
        for stack in document["stacks"]
    )


def reasons_in(document: Mapping[str, Any]) -> Counter[str]:
    return Counter(one["reason"] for one in (*document["refused"], *document["set_aside"]))
