"""Every public name is there, and renamed ones keep their old name for one version."""

import warnings

import pytest

from jaxaug import training

RENAMED = {
    "Reading": "ReadOptions",
    "every": "score_every",
    "spread_state": "shard_state",
    "with_trunk": "restore_trunk",
}


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_warns_once_and_is_the_new_one(old, new):
    training.__dict__.pop(old, None)
    try:
        with pytest.warns(DeprecationWarning, match=rf"jaxaug\.training\.{old} is now called {new};"):
            assert getattr(training, old) is getattr(training, new)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert getattr(training, old) is getattr(training, new)
    finally:
        training.__dict__.pop(old, None)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'ensemble'"):
        training.ensemble  # noqa: B018  # pyright: ignore


def test_all_lists_each_name_once_and_no_old_one():
    assert len(training.__all__) == len(set(training.__all__))
    assert all(hasattr(training, name) for name in training.__all__)
    assert not set(RENAMED) & set(training.__all__)


def test_public_functions_and_classes_have_docstrings():
    for name in training.__all__:
        value = getattr(training, name)
        if callable(value) and getattr(value, "__module__", "").startswith("jaxaug.training"):
            assert value.__doc__, name
