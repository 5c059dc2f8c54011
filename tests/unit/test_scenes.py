"""What synthetic scenes promise, whatever is drawn."""

from collections import Counter

import numpy as np
import pytest

from dicomnode.training.boxes import extent_of
from dicomnode.training.scenes import KINDS, Scene, drawn, drawn_as
from dicomnode.training.scenes.anatomy import Subject
from dicomnode.training.scenes.choosing import chosen
from dicomnode.training.scenes.layout import fitted

EACH = 4


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Return four scenes of each kind."""
    return [drawn_as(kind, np.random.default_rng([3, number])) for kind in KINDS for number in range(EACH)]


def test_the_same_state_of_the_generator_gives_the_same_scene_bit_for_bit() -> None:
    one, other = np.random.default_rng(11), np.random.default_rng(11)
    for _ in range(12):
        first, again = drawn(one), drawn(other)
        assert first.kind == again.kind
        assert first.image.tobytes() == again.image.tobytes()
        assert first.truth.tobytes() == again.truth.tobytes()


def test_what_was_drawn_before_does_not_matter_but_through_the_generator() -> None:
    wanted = drawn(np.random.default_rng(5)).image.tobytes()
    for kind in KINDS:
        drawn_as(kind, np.random.default_rng(6))
    assert drawn(np.random.default_rng(5)).image.tobytes() == wanted


def test_one_scene_is_not_like_the_next() -> None:
    generator = np.random.default_rng(11)
    assert len({drawn(generator).image.tobytes() for _ in range(12)}) == 12


def test_the_shares_of_the_kinds_make_a_whole() -> None:
    assert sum(kind.share for kind in KINDS.values()) == pytest.approx(1)
    assert all(kind.share > 0 for kind in KINDS.values())


def test_kinds_come_as_often_as_their_shares() -> None:
    generator = np.random.default_rng(2)
    shares = {name: kind.share for name, kind in KINDS.items()}
    found = Counter(chosen(generator, shares) for _ in range(20_000))
    assert {name: found[name] / 20_000 for name in shares} == pytest.approx(shares, abs=0.012)


def test_scenes_of_every_kind_are_images_with_a_truth_and_finite_values(scenes: list[Scene]) -> None:
    assert {scene.kind for scene in scenes} == set(KINDS)
    for scene in scenes:
        assert scene.image.dtype == np.float32
        assert scene.truth.dtype == np.bool_
        assert scene.image.shape == scene.truth.shape
        assert np.isfinite(scene.image).all()
        assert np.ptp(scene.image) > 0


def test_every_truth_has_ten_pixels_three_rows_and_three_columns(scenes: list[Scene]) -> None:
    for scene in scenes:
        x0, y0, x1, y1 = extent_of(scene.truth)
        assert np.count_nonzero(scene.truth) >= 10
        assert min(x1 - x0, y1 - y0) >= 3
        assert not scene.truth.all()


def test_a_target_takes_about_half_of_its_image_in_each_dimension(scenes: list[Scene]) -> None:
    shares = [share for scene in scenes for share in shares_of(scene)]
    assert min(shares) >= 0.18
    assert max(shares) <= 0.85
    assert 0.4 < np.median(shares) < 0.6


def test_targets_are_from_some_pixels_to_more_than_sixty_wide(scenes: list[Scene]) -> None:
    lengths = [max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in (extent_of(scene.truth) for scene in scenes)]
    assert min(lengths) <= 12
    assert max(lengths) >= 64
    assert max(lengths) <= 130


def test_some_targets_are_cut_by_the_border_and_most_are_not() -> None:
    cut = [is_cut(drawn_as("ct-parts", np.random.default_rng([4, number]))) for number in range(24)]
    assert 1 <= sum(cut) <= 18


def test_some_boxes_reach_beyond_the_image_when_they_are_made_half_as_large_again(scenes: list[Scene]) -> None:
    beyond = [reaches_beyond(scene) for scene in scenes]
    assert 0 < sum(beyond) < len(beyond)


def test_heads_are_filled_ellipses() -> None:
    scene = drawn_as("us-head", np.random.default_rng(1))
    x0, y0, x1, y1 = extent_of(scene.truth)
    fill = np.count_nonzero(scene.truth) / ((x1 - x0) * (y1 - y0))
    assert fill == pytest.approx(np.pi / 4, abs=0.04)


def test_uptake_and_magnitudes_are_never_negative(scenes: list[Scene]) -> None:
    assert all(scene.image.min() >= 0 for scene in scenes if scene.kind.startswith(("pet", "mr", "us")))


def test_ultrasound_is_in_whole_grey_levels(scenes: list[Scene]) -> None:
    for scene in scenes:
        if scene.kind.startswith("us"):
            assert (scene.image == np.round(scene.image)).all()
            assert scene.image.max() <= 255


def test_modalities_have_units_of_their_own(scenes: list[Scene]) -> None:
    reach = {kind: max(np.ptp(scene.image) for scene in scenes if scene.kind == kind) for kind in KINDS}
    assert reach["ct-bone"] > 255
    assert reach["pet"] < 100
    assert reach["mr-organ"] > 100
    assert reach["us-head"] <= 255


def test_an_outline_without_an_inside_is_not_fitted() -> None:
    assert fitted(Subject(lambda x, y: -1 - x * x - y * y)) is None


def test_an_outline_is_fitted_with_its_longer_side_two_units_long() -> None:
    found = fitted(Subject(lambda x, y: 0.5 - np.maximum(abs(x - 1), abs(2 * y))))
    assert found is not None
    subject, wide, tall = found
    assert wide == 2
    assert tall == pytest.approx(1, abs=0.2)
    line = np.linspace(-1.5, 1.5, 301, dtype=np.float32)
    inside = line[subject.target(line.reshape(1, -1), np.zeros((1, 1), np.float32))[0] > 0]
    assert inside[[0, -1]] == pytest.approx([-1, 1], abs=0.1)


def shares_of(scene: Scene) -> tuple[float, float]:
    x0, y0, x1, y1 = extent_of(scene.truth)
    rows, columns = scene.truth.shape
    return (y1 - y0) / rows, (x1 - x0) / columns


def is_cut(scene: Scene) -> bool:
    truth = scene.truth
    return bool(truth[0].any() or truth[-1].any() or truth[:, 0].any() or truth[:, -1].any())


def reaches_beyond(scene: Scene) -> bool:
    x0, y0, x1, y1 = extent_of(scene.truth)
    wide, tall = (x1 - x0) / 4, (y1 - y0) / 4
    rows, columns = scene.truth.shape
    return bool(x0 - wide < -0.5 or y0 - tall < -0.5 or x1 + wide > columns - 0.5 or y1 + tall > rows - 0.5)
