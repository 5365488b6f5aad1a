"""Other networks of the papers: published sizes, and a forward and backward pass each; two files for two workers."""

import jax
import numpy as np
import pytest
from published import OTHERS, Published, loss_and_gradient, marked, parameter_count


@pytest.mark.parametrize("row", marked(OTHERS))
def test_network_has_the_published_number_of_parameters(row: Published) -> None:
    assert parameter_count(row) == row.parameters
    assert abs(row.parameters / 1e6 / row.said - 1) < 0.05  # as many digits as are printed


@pytest.mark.parametrize("row", marked(OTHERS))
def test_network_runs_forward_and_backward(row: Published) -> None:
    loss, gradient = loss_and_gradient(row)
    assert np.isfinite(loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(gradient["classifier"]))
