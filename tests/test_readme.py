"""What the README says is run."""

import pathlib
import re

import jax
import jax.numpy as jnp
import pytest

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ["README.md", "docs/methods/README.md", "CONTRIBUTING.md", "results/README.md", "colabs/README.md"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)


def test_the_library_example_trains_and_is_short(capsys):
    example = blocks("python")[0]
    assert len(example.strip().splitlines()) <= 20
    exec(compile(example, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.5


def test_the_augmentation_of_ones_own_works():
    names = {}
    exec(compile(blocks("python")[1], "README.md", "exec"), names)
    batch = {"image": jnp.ones((64, 8, 8, 3)), "label": jnp.eye(64)}
    out = jax.jit(names["augment"])(jax.random.key(0), batch)
    brightest = out["image"].max(axis=(1, 2, 3))
    assert 0 < (brightest == 1).sum() < 64
    assert brightest.min() > 0.7
    assert out["label"] is not None


def test_the_two_commands_are_those_that_ci_runs():
    assert 'pip install -e . && python -m experiments.train\npip install -e ".[dev]" && pytest\n' in blocks("sh")[0]
    assert "\npytest\n" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    local = [link for link in links if "://" not in link]
    assert links or page == "colabs/README.md"
    assert [link for link in local if not ((ROOT / page).parent / link).exists()] == []


def test_readme_and_contributing_are_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 60
