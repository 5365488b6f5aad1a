import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.figures.cards import __main__ as command
from experiments.figures.cards.drawing import DPI, WIDTH
from experiments.figures.cards.layers import disentangled_convolution, gaussian_pooling
from experiments.figures.cards.logits import rotated, rotation_regularization
from experiments.figures.cards.strategies import importance_sampled, self_paced
from jaxaug import rotated_logits

CARDS = pathlib.Path(__file__).parents[2] / "docs/methods"
BRIEF = {
    "self_paced": functools.partial(self_paced, moments=(1, 20)),
    "importance_sampled": functools.partial(importance_sampled, steps=5),
    "gaussian_pooling": functools.partial(gaussian_pooling, draws=200),
    "disentangled_convolution": disentangled_convolution,
    "rotation_regularization": functools.partial(rotation_regularization, draws=200),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    def status(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["method_pictures", "--out", str(tmp_path / "new"), *arguments])
        return command.main()

    return status


@pytest.mark.parametrize("name", command.PICTURES)
def test_a_picture_is_drawn_under_the_name_of_its_card(name, run, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PICTURES", BRIEF)
    assert run("--methods", name) == 0
    path = tmp_path / "new" / f"{name}.png"
    with Image.open(path) as picture:
        assert picture.width == round(WIDTH * DPI)
        assert picture.height > 400
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 200
    assert path.stat().st_size < 250_000
    assert f"(../images/{name}.png)" in (CARDS / f"{name}.md").read_text()


def test_an_unknown_method_is_refused_before_anything_is_drawn(run, tmp_path, capsys):
    assert run("--methods", "self_paced", "gausian_pooling") == 2
    assert capsys.readouterr().err == "error: unknown method 'gausian_pooling'; did you mean 'gaussian_pooling'?\n"
    assert not (tmp_path / "new").exists()


def test_vectors_are_rotated_by_the_angle_with_the_logits_of_the_formula():
    x, kernel = np.array([3.0, 4.0, 0.0, 0.0], np.float32), np.eye(4, 2, dtype=np.float32)
    turned = rotated(jax.random.key(0), x, 60.0, 4000)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 5.0, rtol=1e-5)
    np.testing.assert_allclose(turned @ x, 12.5, rtol=1e-4)
    logits = np.asarray(
        rotated_logits(jax.random.key(1), jnp.asarray(np.tile(x, (4000, 1))), jnp.asarray(kernel), degrees=60.0)
    )
    np.testing.assert_allclose((turned @ kernel).mean(axis=0), logits.mean(axis=0), atol=0.2)
    np.testing.assert_allclose((turned @ kernel).std(axis=0), logits.std(axis=0), rtol=0.1)
