"""The notebooks as they are committed: pairs of one source, run from top to bottom, with all that a reader expects.

That they run is what `pytest --nbmake colabs/*.ipynb` tests.
"""

import datetime
import json
import pathlib
import re
import sys

import jupytext
import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
FOLDER = ROOT / "colabs"
SCRIPTS = sorted(FOLDER.glob("*.py"))
COLAB = "https://colab.research.google.com/"
every_notebook = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def cells(script, kind):
    return [cell for cell in notebook(script)["cells"] if cell["cell_type"] == kind]


def notebook(script):
    return json.loads(script.with_suffix(".ipynb").read_text())


def source(cell):
    return "".join(cell["source"])


def test_there_is_one_for_each_method():
    assert [path.stem for path in SCRIPTS] == [
        "00_tour", "01_ricap", "02_self_paced", "03_importance_sampling", "04_shakedrop", "05_priors", "06_search",
    ]  # fmt: skip
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == [path.stem for path in SCRIPTS]


@every_notebook
def test_both_files_are_of_one_source(script):
    written = [(cell.cell_type, cell.source) for cell in jupytext.read(script).cells]
    assert [(cell["cell_type"], source(cell)) for cell in notebook(script)["cells"]] == written


@every_notebook
def test_it_begins_with_its_badge_and_an_installation_that_does_nothing_here(script, monkeypatch):
    first, install = notebook(script)["cells"][:2]
    page = f"{COLAB}github/jaxaug/jaxaug/blob/main/colabs/{script.stem}.ipynb"
    assert source(first).startswith(f"[![Open in Colab]({COLAB}assets/colab-badge.svg)]({page})\n\n# ")
    assert "find_spec" in source(install)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("jaxaug is installed again"))
    exec(source(install), {})


@every_notebook
def test_it_scales_up_by_one_switch_and_ends_with_what_to_try(script):
    code = "\n".join(map(source, cells(script, "code")))
    assert len(re.findall(r"^FULL = False\b", code, re.M)) == 1
    assert "if FULL" in code
    last = notebook(script)["cells"][-1]
    assert (last["cell_type"], source(last).splitlines()[0]) == ("markdown", "## What to try next")


@every_notebook
def test_it_was_run_from_top_to_bottom_within_three_minutes(script):
    run = cells(script, "code")
    assert [cell["execution_count"] for cell in run] == list(range(1, len(run) + 1))
    moments = [
        datetime.datetime.fromisoformat(cell["metadata"]["execution"][name])
        for cell in (run[0], run[-1])
        for name in ("iopub.execute_input", "shell.execute_reply")
    ]
    assert (moments[-1] - moments[0]).total_seconds() < 180


@every_notebook
def test_its_outputs_are_pictures_and_words_and_nothing_went_wrong(script):
    outputs = [output for cell in cells(script, "code") for output in cell["outputs"]]
    assert [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"] == []
    assert sum(any(kind.startswith("image/") for kind in output.get("data", {})) for output in outputs) >= 3
    assert script.with_suffix(".ipynb").stat().st_size < 1_000_000


@every_notebook
def test_it_needs_nothing_that_the_package_does_not_bring(script):
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", "\n".join(map(source, cells(script, "code"))), re.M))
    brought = {"jaxaug", "jax", "flax", "optax", "numpy", "matplotlib", "sklearn", "PIL"}
    assert imported - brought <= set(sys.stdlib_module_names)


@every_notebook
def test_its_links_lead_somewhere(script):
    text = "\n".join(map(source, cells(script, "markdown")))
    local = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in local if not (FOLDER / link).exists()] == []
    named = re.findall(r"`((?:docs|results|colabs)/[\w/.]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
