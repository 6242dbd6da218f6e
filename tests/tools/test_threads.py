"""How many threads a run of one process uses."""

import os

import pytest

from carmodel.tools.threads import WORTHWHILE, thread_count

CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("said", "threads"),
    [
        (None, CORES),
        ("1", 1),
        (" 1 ", 1),
        ("1,4", 1),  # OpenMP's list: one number a level of nested loops
        ("1000", CORES),
        ("", CORES),
        ("0", CORES),
        ("-1", CORES),
        ("²", CORES),
        ("many", CORES),
    ],
)
def test_openmp_s_variable_counts_where_it_makes_sense(monkeypatch, said, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert thread_count(WORTHWHILE) == threads
    assert thread_count(WORTHWHILE - 1) == 1
