"""The script of attention maps: what it measures, and the page and sheets made of its results."""

import json
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import experiments.studies.attention.__main__ as attention
from jaxaug import data
from jaxaug.explain import map_area, map_entropy

OPTIONS = ["--data-dir", "DIR", "--model", "cnn", "--layer", "trunk/conv2", "--examples", "20", "--epochs", "1",
           "--seeds", "2", "--measured", "3", "--images", "3"]  # fmt: skip


@pytest.fixture(scope="module")
def dataset():
    return data.load("synthetic:16x16x3,2,40")


@pytest.fixture(scope="module")
def found(dataset, tmp_path_factory):
    """The lines of two arms, of which one is really run, with page and sheets."""
    path = tmp_path_factory.mktemp("results") / "page.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "STANDARD", ())  # 16 pixels are no place for a crop by 4
        patch.setattr(attention, "ARMS", {"plain": ((), None), "other": ((), None)})
        patch.setattr(attention, "BATCH_SIZE", 10)
        patch.setattr(attention.data, "load", lambda name, data_dir: dataset)
        run = attention.row
        patch.setattr(attention, "row", lambda command, full, arm: run(command, full, "plain"))
        patch.setattr(sys, "argv", ["x", *OPTIONS, "--results", str(path)])
        assert attention.main() == 0
        patch.setattr(attention, "row", lambda *_: pytest.fail("a finished arm is run again"))
        assert attention.main() == 0
    return path, [json.loads(line) for line in path.read_text().splitlines()]


def test_numbers_are_those_of_the_maps_that_are_shown(found):
    _, (line, _) = found
    assert len(line["accuracies"]) == len(line["spreads"]) == 2
    for of in ("cam", "grad_cam"):
        maps = jax.image.resize(jnp.asarray(line[of]["maps"], jnp.float32), (3, 16, 16), "bilinear")
        np.testing.assert_allclose(line[of]["entropy"][0], map_entropy(maps).mean(), atol=2e-3)
        np.testing.assert_allclose(line[of]["area"][0], map_area(maps).mean(), atol=2e-2)
        assert line[of]["entropy"][0] != line[of]["entropy"][1]
    field = np.array(line["field"])
    assert field.shape == (16, 16)
    assert 0.5 < field.max() <= 1
    assert field[0, 0] == 0 < field[8, 8]


def test_page_and_sheets_are_made_of_the_lines(found, dataset):
    path, lines = found
    assert [line["arm"] for line in lines] == ["plain", "other"]
    page = path.with_suffix(".md").read_text()
    areas: Any = np.array(lines[0]["cam"]["area"])
    assert f"| {areas.mean():.3f} ± {areas.std(ddof=1):.3f} | - | - |" in page
    assert "| +0.000 ± 0.000 | 1 |" in page  # the other arm is the same training
    for of in ("cam", "grad_cam"):
        assert f"page_{of}.png" in page
        with Image.open(path.with_name(f"page_{of}.png")) as picture:
            assert np.asarray(picture.convert("L")).std() > 20
