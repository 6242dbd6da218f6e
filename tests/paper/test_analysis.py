"""docs/analysis.md: every statement has a verdict that a computation gives again, and a test that exists."""

import ast

import pytest

from benchmarks.statements import CONDITION, FAILS, HOLDS, STATEMENTS
from tests.conftest import ROOT
from tests.growth import CASES, INTEGRATORS

#: What the judges must find, whatever the random sets.
EXPECTED = {
    "homogeneous state": CONDITION,  # mu_0 = 0
    "ratio": FAILS,  # a sign
    "before therapy": CONDITION,  # the mixed one
    "coexistence": CONDITION,  # explicit in special cases
    "coexistence exists": CONDITION,  # rho_C > delta_CT K_C at least
    "linear": CONDITION,  # sigma_M = 0
    "two blocks": CONDITION,  # not outside Table 1's ranges
    "proposition 1, otherwise": CONDITION,  # not on the boundary
    "no invasion": CONDITION,  # small tumours
    "cannot invade": CONDITION,  # small doses
    "elimination": FAILS,
    "effective growth": CONDITION,  # it suffices; needed is less
    "suppression": CONDITION,  # the larger eigenvalue, above -d_E
    "decay rates at E_CT": FAILS,
    "four fields": CONDITION,
    "space": CONDITION,
}


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.name)
def test_verdict(statement):
    found = statement.judge(40)
    assert found.verdict == EXPECTED.get(statement.name, HOLDS), found.evidence
    assert found.evidence


def test_document_is_that_of_the_judges():
    rows = [line.split(" | ") for line in (ROOT / "docs/analysis.md").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row[0].removeprefix("| ").isdigit()]
    assert len(rows) == len(STATEMENTS)
    for row, statement in zip(rows, STATEMENTS, strict=True):
        assert row[1:3] == [statement.place, statement.text]
        assert row[3] == f"**{EXPECTED.get(statement.name, HOLDS)}**"
        assert row[-1] == f"`{statement.test}` |"


def test_document_has_the_growth_rates_of_every_integrator():
    text = (ROOT / "docs/analysis.md").read_text(encoding="utf-8")
    assert f"| state | mode | theory, 1/day | {' | '.join(INTEGRATORS)} |" in text
    assert all(f"\n| {case} | " in text for case in CASES)


def test_named_tests_exist():
    for statement in STATEMENTS:
        file, name = statement.test.split("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body), statement.test


def test_expected_verdicts_are_of_statements():
    assert set(EXPECTED) <= {statement.name for statement in STATEMENTS}
    assert len({statement.name for statement in STATEMENTS}) == len(STATEMENTS)
