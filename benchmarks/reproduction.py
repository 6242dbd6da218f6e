"""What of the paper comes out: its statements by grid and integrator, Table 1 as it stands, errata with figures.

    .venv/bin/python -m benchmarks.reproduction            # prints
    .venv/bin/python -m benchmarks.reproduction --write    # and renews docs/reproduction.md

Makes what is missing of 28 runs for each of the settings, in results/ unless `--runs` says otherwise: 10 GB, and some
half an hour on two cores.  `--settings` chooses some of them.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from math import ceil, floor
from pathlib import Path
from time import perf_counter

import numpy as np

from carmodel.commands import batch
from carmodel.models.polyakov import FIELDS, PRESETS, TABLE_1
from carmodel.paper import claims
from carmodel.paper.claims.observed import FRONT
from carmodel.paper.claims.statement import Verdict
from carmodel.paper.steady import growth_roots, steady_states
from carmodel.results import RunDirectory
from carmodel.scenario.scenario import Scenario
from carmodel.scenario.sweep import expand
from carmodel.tools.errors import InputError, NumericsError

ROOT = Path(__file__).parents[1]

#: The document, with `@NAME@` where a part made here belongs.
TEMPLATE = Path(__file__).with_suffix(".md")

#: Overrides of the run files by the name of the setting.
SETTINGS: dict[str, list[str]] = {
    "imex, 40^3": [],
    "strang, dt = 0.01, 40^3": ["integrator.kind=strang", "integrator.dt=0.01"],
    "imex, 56^3": ["space.cells=[56,56,56]"],
    "imex, 16^3": ["space.cells=[16,16,16]"],
}

Judged = dict[str, dict[str, Verdict]]


class Maker:
    """Makes runs that are missing, `jobs` at a time in `folder`, and holds that one revision of the code made all."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self.folder, self.jobs = folder, jobs
        self._first: RunDirectory | None = None

    def make(self, runs: Mapping[str, Scenario], place: Path) -> list[str]:
        """Names of the runs that were missing in `place`.

        Raises InputError where another revision than that of the first run ever asked for made one of them.
        """
        made = batch.make(runs, place, batch.local(self.jobs))
        self._hold_to_one_revision(runs, place)
        return made

    def make_clamped(self, runs: Mapping[str, Scenario], place: Path) -> None:
        """Like `make`, for runs of fixed steps that are to show how much clamping makes of a field.

        Those that owe more than a tenth of one to it have failed all the same, at their end and with all they saved.

        Raises NumericsError where a run has failed before its end.
        """
        with suppress(NumericsError):
            batch.make(runs, place, batch.local(self.jobs))
        for name, scenario in runs.items():
            manifest = RunDirectory(place / name).manifest
            if manifest["t"] != scenario.time.end:
                raise NumericsError(f"{place / name}: {manifest['status']}")
        self._hold_to_one_revision(runs, place)

    def _hold_to_one_revision(self, runs: Iterable[str], place: Path) -> None:
        for run in (RunDirectory(place / name) for name in runs):
            first = self._first = self._first or run
            one, other = (found.manifest["git_revision"] for found in (first, run))
            if one != other:  # the same run file is no reason to believe in the same figures
                raise InputError(
                    f"{run.folder}: made by revision {other}, {first.folder} by {one}; accepted: runs of one revision: "
                    "remove those of the other, or choose another folder with --runs"
                )


def judged(names: list[str], maker: Maker) -> tuple[Judged, dict[str, dict[str, claims.ObservedRun]], str]:
    """Verdicts by setting and number, the runs they were measured on, and what those of the first setting took."""
    verdicts, observed, time = {}, {}, ""
    for name in names:
        began = perf_counter()
        scenarios = claims.experiments(claims.SECTIONS, SETTINGS[name])
        place = claims.folder_for(maker.folder, SETTINGS[name])
        made = maker.make(scenarios, place)
        runs = observed[name] = {run: claims.ObservedRun(place / run) for run in scenarios}
        verdicts[name] = {s.number: claims.judge(s, runs) for s in claims.statements()}
        time = time or time_taken(name, runs, perf_counter() - began if len(made) == len(runs) else None, maker.jobs)
        print(f"{name}: {claims.tally(list(verdicts[name].values()))}", flush=True)
    return verdicts, observed, time


def time_taken(setting: str, runs: Mapping[str, claims.ObservedRun], seconds: float | None, jobs: int) -> str:
    """What a setting's runs and verdicts took, `seconds` where all were made here; else what the manifests sum to."""
    its = f"With {setting}, its {len(runs)} runs"
    if seconds is not None:
        return f"{its} and verdicts took {seconds / 60.0:.0f} minutes, {jobs} runs at a time."
    spent = sum(RunDirectory(run.folder).manifest["wall_seconds"]["total"] for run in runs.values())
    return f"{its} took {spent / 60.0:.0f} minutes in all, one after the other on a core."


def summary_table(verdicts: Judged) -> str:
    """One line a setting."""
    lines = ["| setting | command | result |", "|---|---|---|"]
    for name, found in verdicts.items():
        options = "".join(f" --set {text}" for text in SETTINGS[name])
        lines.append(f"| {name} | `carmodel claims{options}` | {claims.tally(list(found.values()))} |")
    return "\n".join(lines)


def tightest(verdict: Verdict) -> int:
    """Index of the condition with the least room, relative to the larger of figure and threshold."""
    room = [c.margin / max(abs(c.value), abs(c.threshold), 1e-300) if c.margin else 0.0 for c in verdict.conditions]
    return int(np.argmin(room))


def statement_table(verdicts: Judged) -> str:
    """Of each statement, the condition with the least room in the first setting, measured in all."""
    lines = [
        f"| no. | the paper says | measured | asked | {' | '.join(verdicts)} |",
        "|---" * (4 + len(verdicts)) + "|",
    ]
    first = next(iter(verdicts.values()))
    for number, verdict in first.items():
        n = tightest(verdict)
        asked = verdict.conditions[n]
        cells = []
        for found in verdicts.values():
            mark = "" if found[number].holds else " **fails**"
            cells.append(f"{found[number].conditions[n].value:.4g}{mark}")
        lines.append(
            f"| {number} | {verdict.statement.text} | {asked.what.replace('|', chr(92) + '|')} "
            f"| {asked.relation} {asked.threshold:g} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def told(c: claims.Condition) -> str:
    """A condition in words."""
    return f"{c.what}: {c.value:.6g} {c.relation} {c.threshold:g}"


def differing(verdicts: Judged) -> str:
    """Statements whose verdicts differ between settings, with all their figures."""
    first = next(iter(verdicts))
    lines = []
    for number in verdicts[first]:
        if len({found[number].holds for found in verdicts.values()}) > 1:
            for name, found in verdicts.items():
                figures = "; ".join(map(told, found[number].conditions))
                lines.append(f"- {number}, {name}: {'holds' if found[number].holds else 'fails'} ({figures})")
    return "\n".join(lines) or "The verdicts are the same in all of them."


def regrowth_table(runs: dict[str, claims.ObservedRun]) -> str:
    """Why 3.3-03 fails."""
    p = PRESETS["normalised"]
    limit = 1.0 - p.d_TA / p.r_T
    lines = [
        "| f | min N / N(0) | N(T) / N(0) | regrowth | growth of N after its minimum, per cent a day |",
        "|---" * 5 + "|",
    ]
    for f in (0.0, 0.2, 0.5):
        run = runs[f"3.3/base,negative_fraction={f}"]
        N = run.burden
        pace = 100.0 * np.log(N.end / N.least) / (N.duration - N.trough_time)
        lines.append(f"| {f} | {1.0 - run.regression:.4f} | {run.residual:.4f} | {run.regrowth:.4f} | {pace:.2f} |")
    return "\n".join(lines) + f"\n\nThe tumour's own limit is N = {limit:.4f} of the carrying capacity."


def front_table(run: claims.ObservedRun) -> str:
    """Depth of the front at t = 0 (3.2-02) by grid, from the initial profile and the run's largest C."""
    cart, length = run.scenario.initial.cart, run.scenario.space.lengths[0]
    level = FRONT * run.line["C"].max()

    def depth(n: int) -> float:
        x = (np.arange(n) + 0.5) * length / n
        C = cart.value * np.prod(
            [0.5 * (1.0 - np.tanh(d / cart.edge)) for d in (cart.start - x, x - cart.stop)], axis=0
        )
        return run.depth(x[level <= C].max())

    grids = (16, 24, 32, 40, 48, 56, 64, 80, 100)
    lines = ["| cells a side | " + " | ".join(map(str, grids)) + " | limit |", "|---" * (len(grids) + 2) + "|"]
    lines.append("| depth, radii | " + " | ".join(f"{depth(n):.4f}" for n in (*grids, 100_000)) + " |")
    return "\n".join(lines)


def ranges_table() -> str:
    """The normalised set beside Table 1."""
    p, K_T = PRESETS["normalised"], TABLE_1["K_T"].value
    scales = {"K_C": 1.0 / K_T, "K_T": 1.0 / K_T, "eta": K_T, "nu": K_T, "xi": K_T}
    lines = ["| name | Table 1 | range | scaled by | scaled range | normalised set | |", "|---" * 7 + "|"]
    for name, entry in TABLE_1.items():
        value, scale = getattr(p, name), scales.get(name, 1.0)
        free = name in ("sigma_S", "sigma_A", "sigma_M", "chi_0")
        text = "none" if entry.low is None or entry.high is None else f"{entry.low:g} to {entry.high:g}"
        scaled = verdict = ""
        if free:
            verdict = "free scale"
        elif entry.low is None or entry.high is None:
            verdict = f"{value / (entry.value * scale):.3g} times Table 1's" if name != "gamma" else "= delta_CT"
        else:
            low, high = entry.low * scale, entry.high * scale
            scaled = f"{low:.4g} to {high:.4g}"
            verdict = "inside" if low <= value <= high else "**outside**"
        by = f"{scale:.3g}" if scale != 1.0 else ("free" if free else "")
        lines.append(f"| {name} | {entry.value:g} | {text} | {by} | {scaled} | {value:.4g} | {verdict} |")
    return "\n".join(lines)


def raw_run(maker: Maker) -> str:
    """Table 1's raw values in the published program's arithmetic."""
    file = ROOT / "runs/published/raw_to_day_12.toml"
    maker.make_clamped(expand(file, []), maker.folder)
    series = RunDirectory(maker.folder / file.stem).series
    columns = ("mean_C", "mean_E", "mean_TA", "mean_TB", "max_A", "max_H")
    lines = ["| day | " + " | ".join(name.replace("_", " ") for name in columns) + " |", "|---" * 7 + "|"]
    for day in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0):
        row = [np.interp(day, series["t"], series[name]) for name in columns]
        lines.append(f"| {day:g} | " + " | ".join(f"{value:.2g}" for value in row) + " |")
    clamped = ", ".join(f"{field} {series[f'clamped_{field}'][-1]:.2g}" for field in FIELDS)
    given = ", ".join(f"{field} {series[f'total_{field}'][0]:.2g}" for field in ("C", "TA"))
    return "\n".join(lines) + f"\n\nIts clamps add in all {clamped} (totals on day 0: {given})."


def peclet(maker: Maker) -> str:
    """Mass that clamping adds with central taxis, as chi_0 grows."""
    lines = ["| chi_0 | taxis | added to C by clamping, of its total |", "|---|---|---|"]
    for chi_0 in (0.0825, 1.0):
        for taxis in ("central", "upwind"):
            overrides = [
                "space.cells=[24,24,24]", "time.end=4.0", "output.every=0.0", "integrator.kind=strang",
                "integrator.dt=0.01", f"integrator.taxis={taxis}", f"parameters.chi_0={chi_0}",
            ]  # fmt: skip
            place = maker.folder / f"peclet,{chi_0},{taxis}"
            (name,) = runs = expand(claims.RUN_FILES / "3.2-base.toml", overrides)
            maker.make_clamped(runs, place)
            series = RunDirectory(place / name).series
            lines.append(f"| {chi_0} | {taxis} | {series['clamped_C'][-1] / series['total_C'][-1]:.1e} |")
    return "\n".join(lines)


def errata() -> dict[str, str]:
    """Figures of the template's table of errata."""
    table, program, p = PRESETS["table1"], PRESETS["published_code"], PRESETS["normalised"]
    roots, second = growth_roots(p), p.d_TA + p.mu_0 + p.mu_1
    assumed = [name for name, entry in TABLE_1.items() if entry.low is None and name != "gamma"]
    return {
        "GAMMA": f"gamma = {program.gamma:g} = delta_CT = {program.delta_CT:g}",
        "LAMBDA_S": f"{table.lambda_S:g} and {program.lambda_S:g}",
        "STATES": f"Table 1: r_T = {table.r_T:g}, d_TA + mu_0 = {table.d_TA + table.mu_0:g}",
        "ROOTS": f"normalised: {roots[0]:.4g} and {roots[1]:.4g}; d = {p.d_TA:.4g}, d + mu_0 + mu_1 = {second:.4g}",
        "EIGENVALUES": eigenvalues(),
        "HEALTHY": f"Table 1: r_T - d = {table.r_T - table.d_TA:g} 1/day > 0",
        "WIDTH": f"40 nodes on 1 cm simulate {1.0 + 1.0 / 39.0:.4f} cm",
        "STEPS": f"T = 0.3, dt = 0.1: {floor(0.3 / 0.1)} and {ceil(0.3 / 0.1)} steps",
        "ASSUMED": f"{len(assumed)} without a range: {', '.join(assumed)}",
    }


def eigenvalues() -> str:
    """Of the normalised set's coexistence state, those nearest to the three decay rates."""
    from carmodel.theory.ode import jacobian

    p = PRESETS["normalised"]
    (state,) = (found.state for found in steady_states(p) if found.kind == "E_CT")
    spectrum = np.linalg.eigvals(jacobian(state, p))

    def nearest(rate: float) -> str:
        value = spectrum[np.argmin(np.abs(spectrum + rate))]
        return f"{value.real:.4f}" + (f" {value.imag:+.4f}i" if abs(value.imag) > 1e-9 else "")

    names = ("lambda_S", "lambda_A", "lambda_H")
    return "; ".join(f"-{name} = {-getattr(p, name):.4f}, nearest {nearest(getattr(p, name))}" for name in names)


def main() -> int:
    """Print the document, and renew it if asked; the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="renew docs/reproduction.md")
    arguments.add_argument("--runs", type=Path, default=ROOT / "results/paper", help="folder of the runs")
    arguments.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="NAME")
    arguments.add_argument("--jobs", type=int, default=batch.cores())
    chosen = arguments.parse_args()
    try:
        text = document(chosen.settings, Maker(chosen.runs, chosen.jobs))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(text)
    if chosen.write:
        (ROOT / "docs/reproduction.md").write_text(text, encoding="utf-8")
    return 0


def document(settings: list[str], maker: Maker) -> str:
    """The template with its parts."""
    verdicts, observed, time = judged(settings, maker)
    parts = {
        "SUMMARY": summary_table(verdicts),
        "TIME": time,
        "DIFFERING": differing(verdicts),
        "REGROWTH": regrowth_table(observed[settings[0]]),
        "FRONT": front_table(observed[settings[0]]["3.2-base"]),
        "RANGES": ranges_table(),
        "RAW": raw_run(maker),
        "PECLET": peclet(maker),
        "STATEMENTS": statement_table(verdicts),
        **errata(),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


if __name__ == "__main__":
    sys.exit(main())
