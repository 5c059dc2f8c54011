"""The parts of which scenes are made: fields, outlines, anatomy, tissues and flaws."""

from collections.abc import Callable

import numpy as np
import pytest

from dicomnode.training.scenes.anatomy import Subject, bone, pair, plates, vertebra
from dicomnode.training.scenes.choosing import chosen, log_uniform
from dicomnode.training.scenes.degrading import as_mr, bias, noise, windowed
from dicomnode.training.scenes.fields import averaged, blurred, correlated, gaussian, sampled, stripes, waves
from dicomnode.training.scenes.palettes import SOFT, Palette, any_values, ct, mixed, mr, pet
from dicomnode.training.scenes.shapes import LESIONS, ORGANS, Draw, along, moved, radial, shape, stroke
from dicomnode.training.scenes.ultrasound import echoes

LINE = np.linspace(-2, 2, 81, dtype=np.float32)
X, Y = LINE.reshape(1, -1), LINE.reshape(-1, 1)
SUBJECTS: tuple[Callable[[np.random.Generator], Subject], ...] = (bone, vertebra, plates, pair)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_waves_are_the_same_on_a_grid_as_at_its_points() -> None:
    field = waves(generator(), 1.3)
    across, down = np.meshgrid(LINE, LINE)
    np.testing.assert_allclose(field.at(X, Y), field.at(across, down), atol=2e-5)


def test_waves_have_the_mean_0_and_the_deviation_1() -> None:
    values = np.stack([waves(generator(seed), 0.5).at(X, Y) for seed in range(20)])
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.std() == pytest.approx(1, abs=0.05)


def test_stripes_vary_along_their_direction_far_more_than_across_it() -> None:
    field = stripes(generator(), 0.3, angle=0).at(X, Y)
    assert np.abs(np.diff(field, axis=1)).mean() > 5 * np.abs(np.diff(field, axis=0)).mean()


def test_a_blur_keeps_a_level_up_to_the_border() -> None:
    np.testing.assert_allclose(blurred(np.full((9, 14), 3, np.float32), 2.5, 0.7), 3, rtol=1e-5)


def test_a_blur_spreads_a_point_by_its_deviation() -> None:
    found = gaussian(61, 4)[30]
    places = np.arange(61) - 30
    assert np.sqrt((found * places**2).sum()) == pytest.approx(4, rel=0.01)


def test_no_blur_leaves_all_as_it_is() -> None:
    assert (gaussian(5, 0) == np.eye(5)).all()


def test_a_pixel_is_the_mean_of_its_samples() -> None:
    fine = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert averaged(fine, (2, 3)).tolist() == [[4, 7], [16, 19]]
    np.testing.assert_allclose(sampled(fine, (2, 3), (0, 0)), averaged(fine, (2, 3)), rtol=1e-6)


def test_sampling_blurs_and_then_averages() -> None:
    fine = generator().normal(size=(24, 30)).astype(np.float32)
    np.testing.assert_allclose(
        sampled(fine, (2, 3), (1.5, 2)), averaged(blurred(fine, 1.5, 2), (2, 3)), rtol=1e-3, atol=1e-5
    )


def test_correlated_noise_has_the_deviation_1_and_neighbours_alike() -> None:
    found = correlated(generator(), (64, 64), 1.5, 1.5)
    assert found.std() == pytest.approx(1, rel=1e-3)
    assert np.corrcoef(found[:, 1:].ravel(), found[:, :-1].ravel())[0, 1] > 0.6


@pytest.mark.parametrize("share", [0, 1])
def test_noise_has_the_deviation_1(share: float) -> None:
    assert noise(generator(), (64, 64), share).std() == pytest.approx(1, abs=0.05)


def test_the_last_of_a_table_is_chosen_too() -> None:
    assert {chosen(generator(seed), {"one": 0.5, "other": 0.5}) for seed in range(12)} == {"one", "other"}


def test_a_share_of_nothing_is_never_chosen() -> None:
    assert {chosen(generator(seed), {"never": 0.0, "always": 0.1}) for seed in range(12)} == {"always"}


def test_log_uniform_numbers_halve_at_the_geometric_mean() -> None:
    one = generator()
    found = np.array([log_uniform(one, 1, 100) for _ in range(2000)])
    assert found.min() >= 1
    assert found.max() <= 100
    assert np.median(found) == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize("draw", {**ORGANS, **LESIONS})
def test_every_outline_has_an_inside_and_an_outside(draw: Draw) -> None:
    for seed in range(6):
        level = shape(generator(seed), {draw: 1})(X, Y)
        assert level.dtype == np.float32
        assert level.shape == (81, 81)
        assert 0.01 < (level > 0).mean() < 0.7


def test_a_radial_outline_of_equal_radii_is_a_disc() -> None:
    level = radial(np.full(1024, 0.8), aspect=1)(X, Y)
    np.testing.assert_allclose(level, 0.8 - np.hypot(X, Y), atol=1e-5)


def test_a_stroke_is_as_far_to_either_side_as_its_radius() -> None:
    level = stroke(np.array([[-1.0, 0], [1.0, 0]]), np.full(2, 0.25))(X, Y)
    np.testing.assert_allclose(level[:, 40], 0.25 - np.abs(LINE), atol=1e-5)
    np.testing.assert_allclose(level[40, :21], LINE[:21] + 1.25, atol=1e-5)


def test_a_straight_curve_is_a_stroke() -> None:
    ends = np.array([[-1, 0], [-0.4, 0], [0.4, 0], [1, 0]])
    level = along(ends, 0.3, 0.3)(X, Y)
    np.testing.assert_allclose(level[:, 40], 0.3 - np.abs(LINE), atol=1e-5)


def test_what_is_moved_keeps_its_shape() -> None:
    disc = radial(np.ones(1024), aspect=1)
    np.testing.assert_allclose(moved(disc, 0.5, -0.5, 0.6)(X, Y), 0.6 - np.hypot(X - 0.5, Y + 0.5), atol=1e-5)


@pytest.mark.parametrize("draw", SUBJECTS)
def test_every_subject_has_an_inside(draw: Callable[[np.random.Generator], Subject]) -> None:
    assert all((draw(generator(seed)).target(X, Y) > 0).any() for seed in range(8))


def test_a_vertebra_has_no_bone_in_its_canal_and_some_have_others_beside_them() -> None:
    subjects = [vertebra(generator(seed)) for seed in range(30)]
    assert any(subject.others for subject in subjects)
    across = [subject for subject in subjects if subject.spaces and not subject.others]
    assert across
    for subject in across:
        canal = subject.spaces[0](X, Y)
        assert not (subject.target(X, Y)[canal > 0.5 * canal.max()] > 0).any()


@pytest.mark.parametrize("paint", [ct, mr, pet, any_values, echoes])
def test_every_palette_has_finite_values_and_a_step(paint: Callable[[np.random.Generator], Palette]) -> None:
    for seed in range(10):
        palette = paint(generator(seed))
        assert palette.step > 0
        assert np.isfinite(palette).all()


def test_hounsfield_units_are_in_the_order_of_tissues() -> None:
    for seed in range(20):
        palette = ct(generator(seed))
        assert max(palette.gas, palette.lung) < palette.fat < palette.fluid < palette.muscle < palette.cortex


def test_mixed_tissues_are_those_of_the_table() -> None:
    palette = ct(generator())
    found = np.array([mixed(generator(seed), palette, SOFT) for seed in range(200)])
    assert (found < -600).any()
    assert ((found > -140) & (found < -60)).any()
    assert ((found > 20) & (found < 140)).any()


def test_a_window_gives_whole_grey_levels_with_the_target_in_it() -> None:
    truth = np.hypot(X, Y) < 0.5
    image = (1000 * X + 20 * truth).astype(np.float32)
    found = windowed(generator(), image, truth)
    assert (found == np.round(found)).all()
    assert (found.min(), found.max()) == (0, 255)
    assert 0 < found[truth].mean() < 255


def test_a_bias_field_is_about_1_and_smooth() -> None:
    found = bias(generator(), (60, 80), 0.25)
    assert 0.3 < found.min() < found.max() < 3
    assert np.abs(np.diff(found, axis=0)).max() < 0.1


def test_magnetic_resonance_turns_an_empty_ground_into_positive_noise() -> None:
    image = np.where(np.hypot(X, Y) < 1, np.float32(0.8), np.float32(0))
    found = as_mr(generator(), image, np.hypot(X, Y) < 1)
    air = found[np.hypot(X, Y) > 1.5]
    assert air.min() >= 0
    assert air.mean() > 0
