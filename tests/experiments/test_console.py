"""What a command prints."""

import io
import pathlib
import re
import sys

import pytest

from experiments.run.console import Console
from jaxaug.training import Progress

SCRIPTS = pathlib.Path(__file__).parents[2] / "experiments"
RECORD = {
    "epoch": 2, "step": 20, "train_loss": 1.25, "train_accuracy": 0.5, "test_loss": 0.75, "test_accuracy": 0.8125,
    "examples_per_second": 12345.6, "seconds": 3.21,
}  # fmt: skip


class Window(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress(step: int) -> Progress:
    return Progress(2, 10, step, 10, 64 * step, {"loss": 1.5, "accuracy": 0.25})


def test_an_epoch_is_one_line(capsys):
    Console(quiet=True).epoch(RECORD, 10)
    assert capsys.readouterr().out == (
        "epoch  2/10  train loss 1.250 accuracy 0.500  test loss 0.750 accuracy 0.8125  12,346 examples/s  3.2 s\n"
    )


def test_an_epoch_without_a_test_says_nothing_of_it(capsys):
    Console(quiet=True).epoch({**RECORD, "test_loss": None, "test_accuracy": None}, 10)
    assert "test" not in capsys.readouterr().out


def test_the_bar_shows_loss_accuracy_speed_and_remaining_time(monkeypatch):
    window = Window()
    monkeypatch.setattr(sys, "stderr", window)
    console = Console(quiet=False)
    console.progress(progress(3))
    console.progress(progress(7))
    shown = window.getvalue()
    assert "epoch 2/10" in shown
    assert "7/10" in shown
    assert "loss 1.500, accuracy 0.250" in shown
    assert "examples/s" in shown
    assert "<" in shown  # tqdm's elapsed<remaining
    console.clear()
    console.progress(progress(1))  # of the next epoch: a new bar
    assert "1/10" in window.getvalue()
    console.clear()


@pytest.mark.parametrize("quiet", [True, False])
def test_there_is_no_bar_in_a_log(capsys, quiet):
    console = Console(quiet=quiet)  # the error stream is captured, so it is not a terminal
    console.progress(progress(3))
    console.clear()
    assert capsys.readouterr() == ("", "")


# Programs that are started through another module.
STARTED_BY = {"experiments.studies.papers": "experiments.reproduce"}


@pytest.mark.parametrize(
    "path", [p for p in sorted(SCRIPTS.rglob("*.py")) if "tyro.cli(" in p.read_text()], ids=lambda p: p.stem
)
def test_help_says_what_one_types(path):
    names = [name for name in path.relative_to(SCRIPTS.parent).with_suffix("").parts if not name.startswith("__")]
    typed = ".".join(names)
    typed = STARTED_BY.get(typed, typed)
    if names[1] == "benchmark" and len(names) == 3:  # started by the one command experiments.benchmark
        typed = f"experiments.benchmark {names[2]}"
    assert re.search(rf'prog=f?"python -m {re.escape(typed)}[" ]', path.read_text())
