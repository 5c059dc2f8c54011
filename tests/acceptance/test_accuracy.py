"""The sets and the protocol that models are measured by are those of the bars: the filled ellipse scores the same."""

from pathlib import Path

import numpy as np
import pytest

from tests.accuracy.bars import BARS
from tests.accuracy.baseline import FillsTheEllipse
from tests.accuracy.measuring import measure
from tests.accuracy.report import means
from tests.accuracy.sets import cases_of
from tests.accuracy.shapes import Variant, compare, extent_of, filled
from tests.accuracy.split import trained_on, training_cases, write_training

pytestmark = pytest.mark.data

AS_PRINTED = 0.005


@pytest.mark.parametrize("name", [name for name, bar in BARS.items() if bar.ellipse is not None])
def test_the_ellipse_scores_what_it_did_when_the_bars_were_set(data_dir: Path, name: str) -> None:
    (result,) = measure(FillsTheEllipse(), [name], data_dir, solid=None, variants=[Variant.EXACT])
    model, ellipse = means(result.objects, Variant.EXACT)
    assert model == ellipse
    assert ellipse == pytest.approx(BARS[name].ellipse, abs=AS_PRINTED)


@pytest.mark.parametrize("name", [name for name, bar in BARS.items() if bar.ellipsoid is not None])
def test_the_ellipsoid_scores_what_it_did_when_the_bars_were_set(data_dir: Path, name: str) -> None:
    masks = [(case.labels == label) for case in cases_of(name, data_dir) for label in case.objects]
    scores = [compare(filled(extent_of(mask), mask.shape), mask).dice for mask in masks]
    assert np.mean(scores) == pytest.approx(BARS[name].ellipsoid, abs=AS_PRINTED)


def test_what_may_be_trained_on_is_left_out_where_a_model_is_judged(data_dir: Path) -> None:
    judged = measure(FillsTheEllipse(), ["fetal heads"], data_dir, without=trained_on(), solid=None)
    assert judged[0].cases == ("005_HC", "006_HC", "007_HC", "008_HC", "009_HC")


def test_the_cases_for_training_are_written_as_they_were_read(data_dir: Path, tmp_path: Path) -> None:
    files = write_training(tmp_path, data_dir)
    for path, case in zip(files, training_cases(data_dir), strict=True):
        with np.load(path) as arrays:
            assert np.array_equal(arrays["imgs"], case.image)
            assert np.array_equal(arrays["gts"], case.labels)
            assert tuple(arrays["spacing"][::-1]) == case.spacing
