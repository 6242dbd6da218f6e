"""Section 2.2 of the paper, statement by statement, and what it leaves open.

    .venv/bin/python -m benchmarks.analysis            # prints; a quarter of an hour
    .venv/bin/python -m benchmarks.analysis --write    # and renews docs/analysis.md

Each verdict is computed (`benchmarks/statements`); a test holds it.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import differential_evolution

from benchmarks.statements import STATEMENTS
from carmodel.models.polyakov import PRESETS, TABLE_1, Parameters
from carmodel.paper.sampling import ASSUMED_FACTOR, parameters_at
from carmodel.paper.steady import coexistence, largest_C
from carmodel.theory.dispersion import leading, linearisation, taxis_threshold
from carmodel.theory.ode import jacobian
from carmodel.theory.spectra import growth_rate
from tests.growth import CASES, CELLS, INTEGRATORS, LENGTHS, measured, state_named
from tests.perturbations import sets_of_all_kinds, verdicts

ROOT = Path(__file__).parents[1]

NORMAL = PRESETS["normalised"]

#: Wavenumbers of the searches, 1/cm^2: wavelengths from 0.2 mm to 20 cm.
K2 = np.logspace(-1.0, 5.0, 60)


def statements(n: int) -> str:
    """The table of verdicts."""
    lines = ["| | where | the paper says | verdict | evidence | test |", "|---|---|---|---|---|---|"]
    for number, statement in enumerate(STATEMENTS, 1):
        found = statement.judge(n)
        lines.append(
            f"| {number} | {statement.place} | {statement.text} | **{found.verdict}** | {found.evidence} "
            f"| `{statement.test}` |"
        )
    return "\n".join(lines)


def agreement(n: int) -> str:
    """Spectral verdicts against the ODE."""
    found = list(verdicts(sets_of_all_kinds(np.random.default_rng(1), n), np.random.default_rng(1)))
    counts = Counter((kind, spectral) for kind, spectral, _, _ in found)
    wrong = sum(spectral != observed for _, spectral, observed, _ in found)
    explained = [f"{distance:.4f}" for *_, distance in found if distance is not None]
    listed = ", ".join(f"{kind} {spectral} {count}" for (kind, spectral), count in sorted(counts.items()))
    return (
        f"{len(found)} steady states of {n} random sets ({listed}): {len(found) - wrong} agree, {wrong} do not.  In "
        f"{len(explained)} of them 1 % was too far, another steady state being nearer "
        f"({', '.join(explained) or 'none'} in reference levels); at a tenth of that distance they agree."
    )


def growth_rates() -> str:
    """3-D runs from cosines of the leading eigenvector."""
    lines = [
        "| state | mode | theory, 1/day | " + " | ".join(INTEGRATORS) + " |",
        "|---" * (3 + len(INTEGRATORS)) + "|",
    ]
    for case, (p, kind, mode, duration) in CASES.items():
        u = state_named(kind, p)
        k2 = np.pi**2 * sum((n / length) ** 2 for n, length in zip(mode, LENGTHS, strict=True))
        cells, expected = [], 0j
        for name in INTEGRATORS:
            found, expected = measured(name, p, u, k2, mode, duration)
            wave = f", frequency {abs(found.imag):.4f}" if abs(expected.imag) > 1e-9 else ""
            cells.append(f"{found.real:+.5f} ({found.real / expected.real - 1.0:+.2%}){wave}")
        wave = f", frequency {abs(expected.imag):.4f}" if abs(expected.imag) > 1e-9 else ""
        lines.append(f"| {case} | {mode} | {expected.real:+.5f}{wave} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _stable_coexistence(p: Parameters) -> np.ndarray | None:
    if largest_C(p) <= 0.0:
        return None
    for state in coexistence(p).states:
        if growth_rate(jacobian(state.state, p)) < 0.0:
            return state.state
    return None


def optimised(
    objective: Callable[[np.ndarray, Parameters], float], seed: int, iterations: int
) -> tuple[float, Parameters, int]:
    """The least value of an objective on stable E_CT inside Table 1's ranges, and where."""
    seen = 0

    def value(shares: np.ndarray) -> float:
        nonlocal seen
        p = parameters_at(shares)
        state = _stable_coexistence(p)
        if state is None:  # towards where coexistence is possible
            return 1e3 + min(max(-largest_C(p), 0.0), 1e3)
        seen += 1
        return objective(state, p)

    n = len(TABLE_1)
    start = differential_evolution(
        value, [(0.0, 1.0)] * n, rng=seed, maxiter=iterations, popsize=2, polish=False, tol=0.0
    )
    # Many optima lie at ends of ranges: then along one axis after the other, with shorter and shorter steps.
    x, best, step = start.x, float(start.fun), 0.5
    while step > 0.02:
        before = best
        for i, sign in ((i, sign) for i in range(n) for sign in (1.0, -1.0)):
            trial = x.copy()
            trial[i] = np.clip(x[i] + sign * step, 0.0, 1.0)
            if trial[i] != x[i] and (there := value(trial)) < best:
                x, best = trial, there
        if best > before - 1e-3 * abs(before):
            step *= 0.5
    return best, parameters_at(x), seen


def _by_diffusion(state: np.ndarray, p: Parameters) -> float:
    """Minus the largest growth at k > 0 without taxis, in units of what decays slowest where k is 0 or large.

    For large k only the tumour's own logistic decay r_T N/K_T is left, so that -1 is reached trivially.
    """
    slowest = min(-growth_rate(jacobian(state, p)), p.r_T * state[2:4].sum() / p.K_T)
    return float(-leading(state, p._replace(chi_0=0.0), K2)[0].max() / slowest)


def _by_taxis(state: np.ndarray, p: Parameters) -> float:
    """Minus the largest growth of a wave at the largest chi_0 of the range, in units of its frequency.

    Real eigenvalues are left out: they approach zero where the homogeneous system does.
    """
    values = np.linalg.eigvals(linearisation(state, p._replace(chi_0=ASSUMED_FACTOR * NORMAL.chi_0), K2))
    ratio = values.real / np.where(np.abs(values.imag) > 1e-6, np.abs(values.imag), np.inf)
    waves = np.abs(values.imag) > 1e-6
    return float(-ratio[waves].max()) if waves.any() else 10.0


def search(iterations: int, wide: int) -> str:
    """Spatial instabilities inside Table 1's ranges and beyond."""
    diffusion, _, seen = optimised(_by_diffusion, 1, iterations)
    taxis, best, seen_taxis = optimised(_by_taxis, 2, iterations)
    state = _stable_coexistence(best)
    threshold = taxis_threshold(state, best, "chi_0") if state is not None else None
    assert threshold is not None
    largest = ASSUMED_FACTOR * NORMAL.chi_0
    rng = np.random.default_rng(3)
    counts: Counter[str] = Counter()
    while counts["E_CT"] < wide:
        p = Parameters(*(float(v * 30.0 ** rng.uniform(-1.0, 1.0)) for v in NORMAL))._replace(K_T=1.0)
        state = _stable_coexistence(p)
        if state is None:
            continue
        counts["E_CT"] += 1
        counts["diffusion"] += leading(state, p._replace(chi_0=0.0), K2)[0].max() > 0.0
        growth, frequency = leading(state, p, K2)
        counts["taxis"] += growth.max() > 0.0
        counts["waves"] += growth.max() > 0.0 and frequency[growth.argmax()] > 1e-9
    return (
        f"* Diffusion alone (chi_0 = 0), inside the ranges: over {seen} stable E_CT visited by an optimiser "
        "(differential evolution, then axis by axis, in all parameters) the largest growth at any k > 0 is "
        f"{-diffusion:+.3f} times the slower of the decay without space and of r_T N/K_T, which is what large k leave: "
        f"{'no instability was found' if diffusion > 0.0 else 'there is an instability'}.\n"
        f"* Taxis, inside the ranges: over {seen_taxis} stable E_CT visited likewise, with chi_0 at {largest:.3g}, ten "
        f"times the normalised value, the fastest wave grows by {-taxis:+.3f} of its frequency: "
        f"{'no instability was found' if taxis > 0.0 else 'there is an instability'}.  For the set found there the "
        f"least chi_0 that destabilises is {threshold[0]:.3g}, at {2 * np.pi / np.sqrt(threshold[1]):.2f} cm.\n"
        f"* Thirtyfold ranges about the normalised set, {counts['E_CT']} random stable E_CT: {counts['diffusion']} "
        f"destabilised by diffusion alone, {counts['taxis']} by taxis at their own chi_0, {counts['waves']} of these "
        "as waves (complex eigenvalues).\n"
    )


def main() -> None:
    """Print, and renew the document if asked."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/analysis.md")
    arguments.add_argument("--sets", type=int, default=400, help="random parameter sets behind each verdict")
    chosen = arguments.parse_args()
    boxes = " x ".join(map(str, CELLS))
    text = (
        "# Section 2.2, checked\n\n"
        "Made by `.venv/bin/python -m benchmarks.analysis --write`.  `carmodel steady [FILE]` tells the same of any "
        "parameter set.\n\n"
        f"Every statement of the paper's section 2.2 and of Propositions 1-2, judged on the full system: on the "
        f"normalised set, Table 1, and {chosen.sets} random sets inside Table 1's ranges "
        "(`carmodel/paper/sampling.py`; "
        'every other one where CAR-T cells can persist at all).  "Outside" are sets within a factor 30 of the '
        "normalised one (`tests/parameter_sets.py`).  R_1 <= R_2 are the roots of the quadratic under eq. (28), "
        "residuals are in scaled units, rates in 1/day.\n\n"
        f"{statements(chosen.sets)}\n\n"
        "## The spectrum against the equations\n\n"
        "Each steady state, moved by up to 1 % of the reference level in every field, upwards where a field is zero, "
        "followed for 12 times 1/|growth|.  Moving all fields matters: C = E = 0 and TA = TB = 0 are planes that the "
        f"equations do not leave, and hide what grows across them.  {agreement(200)}\n\n"
        "## With diffusion and taxis\n\n"
        "About a uniform steady state cos(k.x) grows with the eigenvalues of J - k^2 diag(D), to which taxis adds "
        "k^2 chi(A) C in the row of C and the column of S.  About E_0 and E_T taxis is silent (C = 0); the (C, E) "
        "block has no negative entry off the diagonal, TA and TB diffuse alike, so diffusion can only lower the growth "
        "of either block: no spatial instability, whatever the parameters.  About E_CT:\n\n"
        f"{search(20, 400)}\n"
        "CAR-T cells follow S, S follows TA, and TA falls where CAR-T cells are: a loop of three delays with negative "
        "sign, which oscillates when its gain, chi_0, is large.\n\n"
        f"Growth rates measured in 3-D runs ({boxes} cells on {LENGTHS[0]} x {LENGTHS[1]} x {LENGTHS[2]} cm) from a "
        "cosine of 1e-5 along the leading eigenvector; theory is for the continuous k.\n\n"
        f"{growth_rates()}\n"
    )
    print(text)
    if chosen.write:
        (ROOT / "docs/analysis.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
