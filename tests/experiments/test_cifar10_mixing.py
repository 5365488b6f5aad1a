import json
import statistics

import pytest

import experiments.studies.mixing.__main__ as cifar10_mixing
from experiments.studies.mixing.__main__ import ARMS, Command, finished_line, page, table


def line(arm: str, seed: int, accuracy: float, **changes) -> dict:
    return {
        "arm": arm,
        "seed": seed,
        "command": ["python", "-m", "experiments.train", *ARMS[arm], "--seed", str(seed)],
        "test_accuracy": accuracy,
        "train_loss": 1.0 + seed,
        "epochs": 15,
        "examples_per_second": 100.0 * (seed + 1),
        "versions": {"jax": "0.10.2"},
        "python": "3.11.7",
        "devices": ["cpu"],
        "cpus": 2,
        "git_revision": "ba691092e3f78cf",
    } | changes


LINES = [line("standard", s, a) for s, a in enumerate((0.60, 0.62, 0.67))]
LINES += [line("ricap", s, a) for s, a in enumerate((0.61, 0.65, 0.66))]


def test_the_table_has_mean_and_deviation_and_differences_seed_by_seed():
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table(LINES).splitlines()[2:]]
    assert [row[0] for row in rows] == ["standard", "ricap"]
    errors = [40.0, 38.0, 33.0]
    assert rows[0][1] == f"{statistics.mean(errors):.2f} ± {statistics.stdev(errors):.2f}"
    differences = [-1.0, -3.0, 1.0]
    assert rows[1][2] == f"{statistics.mean(differences):+.2f} ± {statistics.stdev(differences):.2f}"
    assert rows[1][3:] == ["2.000", "200", "3", "15"]


def test_one_seed_has_no_deviation():
    assert "| standard | 40.00 | - |" in table(LINES[:1])


def test_the_page_names_every_command_and_what_it_ran_on():
    text = page(LINES)
    assert text.count("python -m experiments.train") == len(LINES)
    assert '--mix "ricap(beta=0.3)" --seed 2' in text
    assert "Python 3.11.7, jax 0.10.2, on cpu (2 cores), revision ba69109." in text
    assert "no revision" in page([line("standard", 0, 0.5, git_revision=None)])


def test_what_is_in_the_results_is_not_run_again_and_the_page_is_made_from_it(tmp_path, monkeypatch):
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(each) + "\n" for each in LINES))
    ran = []

    def finished(command, arm, seed):
        ran.append((arm, seed))
        return line(arm, seed, 0.5)

    monkeypatch.setattr(cifar10_mixing, "finished_line", finished)
    monkeypatch.setattr("sys.argv", ["cifar10_mixing", "--data-dir", "data", "--results", str(results)])
    assert cifar10_mixing.main() == 0
    assert ran == [(arm, seed) for seed in range(3) for arm in ("cutout", "mixup")]
    kept = [json.loads(each) for each in results.read_text().splitlines()]
    assert kept[: len(LINES)] == LINES
    assert results.with_suffix(".md").read_text() == page(kept)


@pytest.mark.parametrize("arm", ["standard", "mixup"])
def test_a_run_gives_its_line(tmp_path, monkeypatch, arm):
    """On a table of numbers in place of CIFAR-10; what is trained is another test's matter."""
    wine = [
        "--data.name",
        "wine",
        "--model",
        "mlp",
        "--data.num-examples",
        "130",
        "--batch-size",
        "64",
        "--epochs",
        "2",
    ]
    mix = ["--mix", "mixup"] if arm == "mixup" else []
    monkeypatch.setitem(ARMS, arm, [*wine, "--augment", "gaussian_noise", *mix])
    command = Command(data_dir=tmp_path, runs=tmp_path / "runs")
    first = finished_line(command, arm, 1)
    assert (first["arm"], first["seed"], first["epochs"]) == (arm, 1, 2)
    assert 0 < first["test_accuracy"] <= 1
    assert first["examples_per_second"] > 0
    assert str(tmp_path) not in " ".join(first["command"])
    again = finished_line(command, arm, 1)  # already there: read, not run
    assert again == first
