"""How cheap scores are judged, against cases worked out by hand."""

import numpy as np
import pytest

from experiments.studies.cheap_scores.__main__ import Look

EXACT = np.array([[1.0, 2.0], [3.0, 2.0]])  # two copies of two examples; drawing by the loss: (1 + 9) / 4 = 2.5


def test_exact_scores_win_all() -> None:
    look = Look(EXACT, {}, np.zeros(2), batch_size=2)
    np.testing.assert_allclose(look.extra_loss(EXACT), [0.5, 0.0], atol=1e-6)
    assert look.benefit(EXACT) == pytest.approx(1.0)
    assert look.rank_correlation(EXACT) == pytest.approx(0.5)  # 1, and 0 where all are equal


def test_scores_that_say_nothing_win_nothing_and_false_ones_lose() -> None:
    look = Look(EXACT, {}, np.zeros(2), batch_size=2)
    assert look.benefit(np.ones((2, 2))) == pytest.approx(0.0, abs=1e-6)
    assert look.benefit(EXACT[::-1]) == pytest.approx(-1.0)
    assert look.rank_correlation(EXACT[::-1]) == pytest.approx(-0.5)


def test_sharp_draws_take_the_largest() -> None:
    look = Look(EXACT, {}, np.zeros(2), batch_size=2)
    assert look.benefit(EXACT, importance="softmax", temperature=1e-3) == pytest.approx(2.0)


@pytest.mark.parametrize(("last", "expected"), [([5.0, 0.0], 1.0), ([0.0, 5.0], 0.0)])
def test_a_share_is_what_was_hardest(last: list[float], expected: float) -> None:
    look = Look(EXACT, {}, np.array(last), batch_size=2)
    assert look.benefit_of_share(0.5) == pytest.approx(expected, abs=1e-6)
    assert look.benefit_of_share(1.0) == pytest.approx(1.0)
