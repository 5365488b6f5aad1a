"""The studies: each a question, arms that answer it, and lines of results from which its page is made."""

from experiments.studies.study import Study
from jaxaug.checks import nearest


def all_studies() -> dict[str, Study]:
    """Returns every study by name."""
    from experiments.studies import attention, cheap_scores, priors, search
    from experiments.studies.papers import (
        importance,
        prior_layers,
        ricap,
        searched_policy,
        self_paced,
        shakedrop,
        stacked,
    )

    papers = (ricap, importance, self_paced, searched_policy, shakedrop, prior_layers, stacked)
    modules = (*papers, priors, attention, cheap_scores, search)
    return {study.name: study for module in modules for study in module.STUDIES}


def named_study(name: str) -> Study:
    """Returns the study of a name; an unknown one raises `ValueError` with the nearest known."""
    studies = all_studies()
    if name not in studies:
        raise ValueError(nearest(name, list(studies), "study"))
    return studies[name]
