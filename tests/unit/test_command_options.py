"""What the command line says of how boxes become masks stands in for the settings and for their rules."""

from dicomnode.domain import FOLLOW, JobOptions, Rule, Strategy
from dicomnode_cli.options import StrategyOptions

RULES = (Rule(modality=("CT",), strategy=Strategy.STATIC, propagate=1), Rule(window="lung"))
SET = JobOptions(strategy=Strategy.PER_PLANE, propagate=3, window="bone", rules=RULES)


def test_what_is_not_said_stays_as_it_is_set() -> None:
    assert StrategyOptions().over(SET) == SET


def test_what_is_said_counts_before_settings_and_rules() -> None:
    options = StrategyOptions(strategy=Strategy.PROPAGATE, propagate="auto", window="40/400").over(SET)
    assert (options.strategy, options.propagate, options.window) == (Strategy.PROPAGATE, FOLLOW, "40/400")
    assert options.rules == (Rule(modality=("CT",)), Rule())


def test_rules_keep_what_the_command_line_does_not_speak_of() -> None:
    options = StrategyOptions(propagate="0").over(SET)
    assert (options.strategy, options.propagate) == (Strategy.PER_PLANE, 0)
    assert options.rules == (Rule(modality=("CT",), strategy=Strategy.STATIC), Rule(window="lung"))
