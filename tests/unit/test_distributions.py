"""Probabilities, descent and distances of our own beside scipy's, which a web process has no room for."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import optimize, special
from scipy.spatial import KDTree

from engine.ranking.bradley_terry import fit_bradley_terry
from engine.ranking.descent import minimise
from engine.ranking.distributions import betainc, betaincinv, binomial_above, chi_square_above
from engine.ranking.nearest import nearest_distances, squared_distances
from engine.ranking.plackett_luce import Picks

COUNTS = (0.5, 1.0, 1.5, 3.0, 20.5, 400.0, 30_000.5)


@pytest.mark.parametrize(("a", "b"), list(product(COUNTS, COUNTS)))
def test_beta_and_its_quantiles_are_scipys(a: float, b: float) -> None:
    for x in (0.0, 1e-6, 0.02, 0.3, 0.5, a / (a + b), 0.97, 1.0):
        assert betainc(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-12)
    for share in (0.0, 0.001, 0.025, 0.5, 0.975, 1.0):
        assert betaincinv(a, b, share) == pytest.approx(special.betaincinv(a, b, share), rel=1e-8, abs=1e-13)


def test_tails_of_binomial_and_chi_square_are_scipys() -> None:
    for count, share in product((1, 7, 200), (0.01, 0.3, 1.0)):
        for k in {0, count // 3, count - 1}:
            said = special.bdtrc(k, count, share)
            assert binomial_above(k, count, share) == pytest.approx(said, rel=1e-8, abs=1e-14)
    for freedom, x in product((1, 2, 7, 60), (0.0, 0.01, 1.0, 6.0, 61.0, 300.0)):
        said = special.chdtrc(freedom, x)
        assert chi_square_above(freedom, x) == pytest.approx(said, rel=1e-8, abs=1e-13)


def test_what_has_no_probability_is_refused() -> None:
    for wrong in ((0.0, 1.0, 0.5), (1.0, -1.0, 0.5), (1.0, 1.0, 1.5)):
        with pytest.raises(ValueError, match="Beta"):
            betainc(*wrong)
    with pytest.raises(ValueError, match="chi-square"):
        chi_square_above(0, 1.0)
    with pytest.raises(ValueError, match="share"):
        betaincinv(1.0, 1.0, 2.0)


def test_a_bent_valley_is_walked_to_its_lowest_point() -> None:
    def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float(optimize.rosen(x)), optimize.rosen_der(x)

    np.testing.assert_allclose(minimise(rosenbrock, np.array([-1.2, 1.0, -0.5, 2.0])), 1.0, atol=1e-4)
    with pytest.raises(ValueError, match="not finite"):
        minimise(lambda x: (np.nan, x), np.zeros(2))


@pytest.mark.parametrize("seed", range(4))
def test_rankings_are_those_of_scipys_descent(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    left = rng.integers(6, size=400)
    right = (left + rng.integers(1, 6, size=400)) % 6
    outcome = np.sign((left - right) / 3 + rng.logistic(size=400)).astype(np.int64)
    outcome[rng.random(400) < 0.2] = 0
    shown = rng.integers(6, size=(500, 8))
    winner = shown[np.arange(500), (shown / 3 + rng.gumbel(size=shown.shape)).argmax(axis=1)]

    def fitted() -> list[np.ndarray]:
        pairs = fit_bradley_terry(left=left, right=right, outcome=outcome, num_items=6)
        return [pairs.strengths, np.array([pairs.tie]), Picks(shown=shown, winner=winner, num_items=6).fit()]

    ours = fitted()

    def scipys(loss: object, start: np.ndarray) -> np.ndarray:
        return np.asarray(optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x)

    for place in ("bradley_terry", "plackett_luce"):
        monkeypatch.setattr(f"engine.ranking.{place}.minimise", scipys)
    for one, other in zip(ours, fitted(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize("width", [3, 59])
def test_nearest_points_are_those_of_a_tree(width: int) -> None:
    rng = np.random.default_rng(width)
    points, queries = rng.normal(size=(300, width)), rng.normal(size=(70, width))
    queries[:5] = points[:5]
    for rank in (1, 6):
        said = KDTree(points).query(queries, k=[rank])[0][:, 0]
        np.testing.assert_allclose(nearest_distances(points, queries, rank=rank), said, atol=1e-12)
    assert not nearest_distances(points, queries)[:5].any()
    assert np.isinf(nearest_distances(points[:3], queries, rank=4)).all()
    plain = ((queries[:, None] - points[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared_distances(queries, points), plain, atol=1e-9)
