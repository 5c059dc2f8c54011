"""The health check of the containers, against a real association on loopback."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made by the module at import

HEALTHCHECK = Path(__file__).parents[2] / "docker" / "healthcheck.py"


@pytest.fixture
def answer() -> dict[str, int]:
    """Return what the peer answers with; a test may change it."""
    return {"status": 0x0000}


@pytest.fixture
def port(answer: dict[str, int]) -> Iterator[int]:
    ae = AE(ae_title="NODE")
    ae.require_called_aet = True
    ae.add_supported_context(Verification)
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_ECHO, lambda _event: answer["status"])]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    yield server.server_address[1]
    server.shutdown()


def health_of(folder: Path, port: int, ae_title: str = "NODE") -> int:
    settings = folder / "dicomnode.toml"
    settings.write_text(f'[node]\nae_title = "{ae_title}"\n[listener]\nport = {port}\n', encoding="utf-8")
    environment = {"DICOMNODE_CONFIG": str(settings), "HOME": str(folder)}
    return subprocess.run([sys.executable, HEALTHCHECK], env=environment, timeout=60, check=False).returncode


def test_a_node_that_answers_is_healthy(tmp_path: Path, port: int) -> None:
    assert health_of(tmp_path, port) == 0


def test_a_node_that_answers_with_a_failure_is_not_healthy(tmp_path: Path, port: int, answer: dict[str, int]) -> None:
    answer["status"] = 0x0122
    assert health_of(tmp_path, port) == 1


def test_another_node_on_the_port_is_not_healthy(tmp_path: Path, port: int) -> None:
    assert health_of(tmp_path, port, ae_title="OTHER") == 1


def test_where_nothing_listens_is_not_healthy(tmp_path: Path) -> None:
    assert health_of(tmp_path, 1) == 1
