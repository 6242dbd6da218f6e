"""Every statement of the paper's sections 3.1 to 3.4 and of its abstract, as a predicate on run directories.

The thresholds are numerical readings of the paper's words; the paper prints none.
"""

from .experiments import RUN_FILES, experiments, folder_for
from .observed import ObservedRun
from .report import as_json, tally, write_json, write_table
from .statement import SECTIONS, Condition, Statement, Verdict, judge, statements

__all__ = [
    "RUN_FILES",
    "SECTIONS",
    "Condition",
    "ObservedRun",
    "Statement",
    "Verdict",
    "as_json",
    "experiments",
    "folder_for",
    "judge",
    "statements",
    "tally",
    "write_json",
    "write_table",
]
