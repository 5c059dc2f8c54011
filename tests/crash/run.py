"""Kill a node again and again while it works, and say whether anything was lost or made twice.

Run it with `make crash`. It ends with 1 and keeps its folder where something is wrong.
"""

import shutil
import sys
import tempfile
from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path

from tests.crash.scenario import Asked, crash


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    parser = ArgumentParser(
        description="Kill a node again and again while it works, and say whether anything was lost."
    )
    defaults = Asked()
    for option in fields(Asked):
        value = getattr(defaults, option.name)
        if isinstance(value, bool):
            parser.add_argument(f"--{option.name}", action="store_true")
            continue
        many = {"nargs": "+"} if isinstance(value, tuple) else {"type": type(value)}
        parser.add_argument(f"--{option.name.replace('_', '-')}", default=value, **many)
    asked = Asked(**vars(parser.parse_args()))
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    sys.stdout.write(f"seed {asked.seed}, in {folder}\n")
    report = crash(folder, asked)
    sys.stdout.writelines(f"{what:<36}{number:>8}\n" for what, number in report.counts.items())
    sys.stdout.writelines(f"WRONG: {finding}\n" for finding in report.findings)
    if report.findings:
        sys.stdout.write(f"{len(report.findings)} findings; everything is kept in {folder}\n")
        return 1
    shutil.rmtree(folder)
    sys.stdout.write("nothing was lost, and nothing was made twice\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
