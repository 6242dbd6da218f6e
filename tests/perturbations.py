"""What the homogeneous system does from near a steady state."""

from collections.abc import Iterable, Iterator

import numpy as np

from carmodel.models.polyakov import Parameters
from carmodel.paper.sampling import random_parameters
from carmodel.paper.steady import largest_C, steady_states
from carmodel.theory.ode import jacobian, reference_levels, solve
from carmodel.theory.spectra import growth_rate, verdict

Array = np.ndarray


def sets_of_all_kinds(rng: np.random.Generator, n: int) -> Iterator[Parameters]:
    """Sets inside Table 1's ranges; every other one where C can persist at all, which few do."""
    for i in range(n):
        p = random_parameters(rng)
        while i % 2 and largest_C(p) <= 0.0:
            p = random_parameters(rng)
        yield p


def distance(u: Array, state: Array, p: Parameters) -> float:
    """Largest difference in reference levels."""
    return float(np.abs((u - state) / reference_levels(p)).max())


def perturbed(state: Array, p: Parameters, rng: np.random.Generator, size: float = 0.01) -> Array:
    """Every field moved by up to 1 % of its reference level, upwards where it would turn negative."""
    level = reference_levels(p)
    sign = np.where(state > 2.0 * size * level, rng.choice([-1.0, 1.0], size=7), 1.0)
    return state + sign * size * rng.uniform(0.1, 1.0, size=7) * level


def what_the_ode_does(state: Array, p: Parameters, growth: float, rng: np.random.Generator, size: float) -> str:
    """Whether a perturbation has decayed or grown after 12 times 1/|growth|: the slowest direction has told by then."""
    start = perturbed(state, p, rng, size)
    end = solve(p, start, [0.0, 12.0 / abs(growth)], rtol=1e-8)[:, -1]
    before, after = distance(start, state, p), distance(end, state, p)
    return "stable" if after < 0.5 * before else "unstable" if after > before else "?"


def verdicts(sets: Iterable[Parameters], rng: np.random.Generator) -> Iterator[tuple[str, str, str, float | None]]:
    """For every steady state of some sets: its kind, the spectrum's verdict, the ODE's, and what explains a 1 %
    perturbation that said otherwise: the distance of another steady state, at a tenth of which the ODE was asked again.
    """
    for p in sets:
        states = steady_states(p)
        for one in states:
            J = jacobian(one.state, p)
            growth = growth_rate(J)
            spectral, explanation = verdict(growth, J), None
            observed = what_the_ode_does(one.state, p, growth, rng, 0.01)
            if observed != spectral:
                nearest = min(distance(other.state, one.state, p) for other in states if other is not one)
                if nearest < 0.02:
                    explanation = nearest
                    observed = what_the_ode_does(one.state, p, growth, rng, 0.1 * nearest)
            yield one.kind, spectral, observed, explanation
