"""Ask the node of this container for a C-ECHO (PS3.4 A.4); exit with 0 if it answers with success, else with 1."""

import os
import sys
from pathlib import Path

from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made by the module at import

from dicomnode.settings import Surroundings, load

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to
SUCCESS = 0x0000
SECONDS = 5


def main() -> int:
    """Return the exit code."""
    settings = load(None, Surroundings(environment=os.environ, folder=Path.cwd())).settings
    ae = AE(ae_title="HEALTHCHECK")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = SECONDS
    ae.add_requested_context(Verification)
    host = WILDCARDS.get(settings.listener.host, settings.listener.host)
    assoc = ae.associate(host, settings.listener.port, ae_title=settings.node.ae_title)
    if not assoc.is_established:
        return 1
    status = assoc.send_c_echo().get("Status")
    assoc.release()
    return 0 if status == SUCCESS else 1


if __name__ == "__main__":
    sys.exit(main())
