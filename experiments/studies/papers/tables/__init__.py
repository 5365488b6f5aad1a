"""The tables that can be redone, by name."""

from experiments.studies.papers.table import Table
from experiments.studies.papers.tables import priors, ricap, sampling, shakedrop, stacked
from jaxaug.checks import nearest

TABLES = {table.name: table for module in (ricap, sampling, shakedrop, priors, stacked) for table in module.TABLES}


def named_table(name: str) -> Table:
    """Returns the table of a name; an unknown one raises `ValueError` with the nearest known."""
    if name not in TABLES:
        raise ValueError(nearest(name, list(TABLES), "table"))
    return TABLES[name]
