"""Lines about a run on its way."""

from types import SimpleNamespace

from carmodel.runs.output import progress


def test_time_left_is_not_told_before_the_code_is_compiled(monkeypatch, capsys):
    """A first step of 13 s and of 0.006 days, then 8 days in 10.5 s: 5 s are left for the last 4."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "monotonic", lambda: clock.now)
    monkeypatch.setattr(progress, "on_terminal", lambda: False)
    run = SimpleNamespace(t=0.0, steps=0, end=12.0, space=SimpleNamespace(comm=SimpleNamespace(rank=0)))
    observer = progress.Progress()
    observer.start(run)
    observer.step(run)
    for now, t in ((113.0, 0.006), (115.0, 4.006), (123.5, 8.006)):
        clock.now, run.t, run.steps = now, t, run.steps + 1
        observer.step(run)
    assert capsys.readouterr().err.splitlines() == [
        "t = 0.006 of 12 days",
        "t = 8.01 of 12 days, 0.762 days/s, 5 s left",
    ]
