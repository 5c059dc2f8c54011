"""Measure any model on the real sets, with the filled ellipse beside it; `make accuracy` runs it.

`python tests/accuracy/measure.py --model NAME` takes what comes with the package or was imported into `--models`, and
`--model MODULE:CALLABLE` what a callable returns: a runtime; with `--weights FILE` it is called with that path.
"""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from dicomnode.domain import Strategy
from dicomnode.inference.library import BUILT_IN
from dicomnode.inference.loading import ModelWish
from dicomnode.inference.runtime import Runtime
from tests.accuracy.measuring import measure
from tests.accuracy.pictures import Worst, draw_worst
from tests.accuracy.report import as_json, table, write_objects
from tests.accuracy.sets import SETS, data_folder
from tests.accuracy.split import HALVES, SHIPPED, trained_on


def main() -> None:
    """Print the tables, and write what else is asked for."""
    asked = _arguments()
    runtime, started = _runtime(asked.model, asked.models, asked.weights), time.perf_counter()
    without = trained_on(asked.held_out) if asked.held_out else frozenset()
    results = measure(runtime, asked.sets, data_folder(), without=without, solid=asked.solid)
    sys.stdout.write(table(results, asked.model.rpartition(":")[2]))
    sys.stderr.write(f"{time.perf_counter() - started:.0f} s\n")
    if asked.json:
        asked.json.write_text(as_json(results, asked.model), encoding="utf-8")
    if asked.objects:
        write_objects(asked.objects, results)
    if asked.pictures:
        worst = Worst(asked.pictures, asked.worst, asked.solid or Strategy.AUTO)
        draw_worst(worst, runtime, results, data_folder())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=BUILT_IN[0], help="a model's name, or MODULE:CALLABLE")
    parser.add_argument("--models", type=Path, default=Path("models"), help="the folder of imported models")
    parser.add_argument("--weights", type=Path, help="what the callable is given")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET", help=", ".join(SETS))
    parser.add_argument("--held-out", nargs="?", const=SHIPPED, choices=HALVES, help="leave out what is trained on")
    parser.add_argument(
        "--solid", type=_strategy, default=Strategy.AUTO, metavar="STRATEGY", help="for one 3-D box; none measures none"
    )
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw the worst objects of each set there")
    parser.add_argument("--worst", type=int, default=12, help="how many objects of each set are drawn")
    parser.add_argument("--objects", type=Path, metavar="FILE", help="write a line for each object, as CSV")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the means")
    return parser.parse_args()


def _strategy(word: str) -> Strategy | None:
    return None if word == "none" else Strategy(word)


def _runtime(model: str, models: Path, weights: Path | None) -> Runtime:
    module, _, name = model.partition(":")
    if not name:
        return ModelWish(name=model, folder=models)()
    made: Runtime = getattr(import_module(module), name)(*([weights] if weights else []))
    return made


if __name__ == "__main__":
    main()
