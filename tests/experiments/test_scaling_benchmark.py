"""The benchmark of scaling says what it should at toy sizes, and the page on scaling quotes what it said."""

import pathlib
import re
import shlex
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.benchmark import scaling
from experiments.benchmark.scaling.devices import collectives
from experiments.train import parsed

ROOT = pathlib.Path(__file__).parent.parent.parent
PAGE = ROOT / "docs/scaling.md"
TOY = {
    "--turns": "2",
    "--images": "8",
    "--large": "4",
    "--threads": "1",
    "--batch-sizes": "4",
    "--hidden-model": "mlp",
    "--hidden-images": "8",
    "--saved-model": "mlp",
    "--saved-batch-size": "4",
    "--saved-steps": "2",
    "--numbers": "1 2",
    "--cores": "0",
    "--trained.model": "mlp",
    "--trained.batch-size": "8",
    "--trained.steps": "1",
    "--trained.side": "8",
}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("ant", "bee"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(6):
                image = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
                Image.fromarray(image).save(tmp_path / split / name / f"{i}.jpg")
    return tmp_path


def test_the_page_has_all_parts(folder, monkeypatch, capsys):
    options = [word for name, value in TOY.items() for word in (name, *value.split())]
    monkeypatch.setattr(sys, "argv", ["scaling", "--folder", str(folder), *options])
    scaling.main()
    page = capsys.readouterr().out
    assert re.findall(r"^## (.+)$", page, re.M) == ["Streaming", "Devices", "Checkpoints"]
    ratios = re.findall(r"^\| [^|]+ \| (\d+\.\d{3}) \|", page, re.M)
    assert len(ratios) == 1 + 2 * 2 + 1 + 1 + 1  # small, large, from memory, devices, checkpoints
    assert all(float(ratio) > 0 for ratio in ratios)
    # A device alone has nobody to tell, two add up their gradients.
    assert "- 1: none\n" in page
    assert re.search(r"^- 2: .*\d+ all-reduce of ", page, re.M)


def test_collectives_are_counted_once_also_where_they_start_and_end_apart():
    hlo = """
      %a = f32[4,8]{1,0} all-gather-start(%x), dimensions={0}
      %b = f32[4,8]{1,0} all-gather-done(%a)
      %c = (f32[], pred[3]{0}) all-reduce(%y, %z), to_apply=%add
      %d = f32[2] add(%all-reduce, %c)
    """
    assert collectives(hlo) == {"all-gather": (1, 128), "all-reduce": (1, 7)}


def quoted(text):
    """The figures with a decimal point or a thousands comma in the paragraphs that link the results."""
    paragraphs = [part for part in text.split("\n\n") if "results/speed/scaling.md" in part]
    assert paragraphs
    prose = re.sub(r"`[^`]*`", "", "\n".join(paragraphs))
    return re.findall(r"\d[\d,]*\.\d+|\d{1,3}(?:,\d{3})+|\d+(?= images)", prose)


def test_what_the_page_on_scaling_quotes_was_measured():
    measured = (ROOT / "results/speed/scaling.md").read_text()
    figures = quoted(PAGE.read_text())
    assert figures
    assert [figure for figure in figures if not re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d.])", measured)] == []


def test_the_commands_of_the_page_are_understood_and_its_example_is_python():
    text = PAGE.read_text()
    # Of a job script and of ssh's command, the part that is ours.
    commands = re.findall(r"python -m experiments\.train ([^\n\"]+)", text.replace("`python -m experiments.train`", ""))
    assert len(commands) == 5
    for command in commands:
        parsed(shlex.split(command))
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    compile(example, str(PAGE), "exec")
