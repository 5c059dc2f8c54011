"""How a training's rate changes, and which settings train nothing."""

import pytest

from dicomnode.errors import SettingsError
from dicomnode.inference.engines import Device, Precision
from dicomnode.training.schedule import Schedule, Tail, check_same, settings_of


def test_the_rate_warms_up_and_falls_along_half_a_cosine() -> None:
    rates = [Schedule(steps=100, rate=1.0, warm_up=10).rate_at(step) for step in (0, 4, 50, 99)]
    assert rates == pytest.approx([0.1, 0.5 * 0.996057, 0.5, 0.000247], abs=1e-5)
    assert Schedule(steps=100, rate=1.0, tail=Tail.PLATEAU).rate_at(99) == 1.0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": 0}, "steps 0: BAD_SETTING: at least 1"),
        ({"rate": 0.0}, "rate 0.0"),
        ({"ema": 1.0}, "ema 1.0"),
        ({"precision": Precision.INT8}, "precision 'int8': BAD_SETTING: allowed are fp32, bf16, fp16"),
        ({"device": Device.AUTO}, "device 'auto'"),
    ],
)
def test_what_trains_nothing_is_refused_by_name(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Schedule(**{"steps": 10, "rate": 1.0, **wrong})  # type: ignore[arg-type]


def test_each_setting_that_differs_is_named_but_not_what_changes_nothing_that_is_learnt() -> None:
    before = settings_of(Schedule(steps=10, rate=1.0, workers=2, checkpoint_every=5), {"batch": 4})
    check_same(before, settings_of(Schedule(steps=10, rate=1.0), {"batch": 4}), "run")
    with pytest.raises(SettingsError, match=r"batch was 4 and is 2; rate was 1\.0 and is 0\.5"):
        check_same(before, settings_of(Schedule(steps=10, rate=0.5), {"batch": 2}), "run")


def test_a_plateau_may_go_on_for_more_steps_than_it_began_with_and_a_cosine_may_not() -> None:
    for tail, may in ((Tail.PLATEAU, True), (Tail.COSINE, False)):
        before, now = (settings_of(Schedule(steps=steps, rate=1.0, tail=tail), {}) for steps in (10, 20))
        assert (before == now) is may
