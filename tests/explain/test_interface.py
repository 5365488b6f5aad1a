"""What every public function of `jaxaug.explain` has: annotations, options by name, and a complete docstring."""

import inspect

import pytest
from laws.interface import docstring_is_complete

from jaxaug import explain

# Methods of papers name them; the others are arithmetic.
OF_THEIR_OWN = {"features_and_head", "map_area", "map_entropy", "overlay"}
OPTIONS = {"fraction", "strength"}


@pytest.mark.parametrize("name", explain.__all__)
def test_public_function(name: str) -> None:
    function = getattr(explain, name)
    docstring_is_complete(name, function, paper=name not in OF_THEIR_OWN)
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not parameter.empty
        assert (parameter.name in OPTIONS) == (parameter.kind is parameter.KEYWORD_ONLY)
