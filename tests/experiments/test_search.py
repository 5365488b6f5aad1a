"""The search from the command line, its policy file, and how ways to choose are judged."""

import dataclasses
import json
import pathlib
import sys
from typing import Any

import numpy as np
import pytest

from experiments.run.build import build_augmentation
from experiments.run.config import Config
from experiments.run.policy import Policy, apply_policy_file, policy_json, read_policy
from experiments.search import __main__ as script
from experiments.search import choices
from experiments.search.candidates import default_candidates
from experiments.search.refine import bounds, magnitudes, with_magnitudes
from jaxaug import data
from jaxaug.search.candidates import checked_candidates

FEW = [Policy(), Policy(("gaussian_noise(stddev=0.1)",)), Policy(("gaussian_noise(stddev=5.0)",)), Policy((), "mixup")]


def test_the_default_candidates_are_at_least_forty_of_the_library() -> None:
    for name, least in (("digits", 40), ("synthetic:16x16x3,2,8", 40), ("iris", 25)):
        dataset = data.load(name)
        policies = default_candidates(dataset.shape)
        assert len({str(policy) for policy in policies}) == len(policies) >= least
        config = {str(p): build_augmentation(Config(augment=p.augment, mix=p.mix), dataset) for p in policies}
        assert len(checked_candidates(config, dataset.shape, dataset.num_classes)) == len(policies)


def test_what_wins_is_a_policy_that_training_takes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "default_candidates", lambda shape: FEW)
    arguments = ["x", "iris", "--output", str(tmp_path), "--epochs", "4", "--early-epochs", "2", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert script.main() == 0
    said = capsys.readouterr().out
    assert all(str(policy) in said for policy in FEW)
    written = json.loads((tmp_path / "search.json").read_text())
    assert [row["candidate"] for row in written["candidates"]] == [str(policy) for policy in FEW]
    best = max(written["candidates"], key=lambda row: row["scores"])["candidate"]
    config = apply_policy_file(Config(augment=(str(tmp_path / "search.json"),)), Config())
    assert str(Policy(config.augment, config.mix)) == best
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")


def test_magnitudes_are_refined(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    won = Policy(("gaussian_noise(stddev=0.2)",))
    monkeypatch.setattr(script, "default_candidates", lambda shape: [won])
    arguments = ["x", "iris", "--output", str(tmp_path), "--epochs", "2", "--early-epochs", "1", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--refine", "1"])
    assert script.main() == 0
    written = json.loads((tmp_path / "search.json").read_text())
    tried = written["provenance"]["refinement"]
    assert len(tried["scores"]) == 16
    assert max(tried["scores"]) >= tried["scores"][0] == pytest.approx(written["candidates"][0]["scores"], abs=2)
    best = tried["magnitudes"][tried["scores"].index(max(tried["scores"]))][0]
    assert 0.1 <= best <= 0.4
    assert written["policy"]["augment"] == [f"gaussian_noise(stddev={float(f'{best:.3g}')!r})"]
    monkeypatch.setattr(script, "default_candidates", lambda shape: [Policy()])
    assert script.main() == 2
    assert "to have a magnitude, as rotate(degrees=5.0) does; it is nothing." in capsys.readouterr().err


def test_magnitudes_of_a_policy_are_its_numbers_with_a_point() -> None:
    policy = Policy(
        ("rotate(degrees=10.0)", "crop(padding=2)", "zoom(factor=(0.9, 1.1))", "flip_left_right"), "mixup(alpha=0.2)"
    )
    assert magnitudes(policy) == [10.0, 0.2]
    assert with_magnitudes(policy, magnitudes(policy)) == policy
    assert with_magnitudes(policy, [5.0, 0.5]) == dataclasses.replace(
        policy, augment=("rotate(degrees=5.0)", *policy.augment[1:]), mix="mixup(alpha=0.5)"
    )
    limited = Policy(("random_erasing(prob=0.8)", "gaussian_noise(stddev=0.2)"))
    assert bounds(limited, data.load("synthetic:8x8x3,2,8")) == [(0.4, 0.8), (0.1, 0.4)]


def test_bad_options_are_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "irsi"])
    assert script.main() == 2
    assert "iris" in capsys.readouterr().err


def test_a_policy_file_stands_for_augment_and_mix(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "p.json"
    policy = Policy(("rotate(degrees=5.0)",), "mixup")
    path.write_text(json.dumps({"policy": policy_json(policy)}))
    assert read_policy(path) == policy
    given, mixing = Config(augment=(str(path),)), Config(mix="cutmix")
    config = apply_policy_file(given, Config())
    assert (config.augment, config.mix) == (policy.augment, policy.mix)
    assert apply_policy_file(dataclasses.replace(given, mix="cutmix"), mixing) == config
    assert apply_policy_file(mixing, Config()) == mixing
    for more in ({"mix": "ricap"}, {"augment": (str(path), "flip_left_right")}):
        with pytest.raises(ValueError, match="replaces --augment and --mix"):
            apply_policy_file(dataclasses.replace(given, **more), mixing)


@pytest.mark.parametrize(
    "text",
    ["", "[", "[]", "{}", '{"policy": 1}', '{"policy": {"augment": "x"}}', '{"policy": {"augment": [1]}}', "[" * 9999],
)
def test_what_is_no_policy_file_is_said(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"policy file .*p\.json"):
        read_policy(path)


def line() -> dict[str, Any]:
    """Four candidates, two seeds, three epochs: the second is the best, as affinity and diversity say."""
    validation = np.array([[0.5, 0.5, 0.6], [0.4, 0.6, 0.8], [0.6, 0.6, 0.6], [0.1, 0.1, 0.2]])
    test = np.array([0.6, 0.8, 0.65, 0.2])
    return {
        "candidates": ["nothing", "a", "b", "c"],
        "affinity": [[1.0, 1.0], [0.9, 0.9], [0.9, 0.9], [0.1, 0.1]],
        "validation": np.stack([validation, validation], axis=1).tolist(),
        "loss": np.stack([[[1.0] * 3, [2.0] * 3, [1.5] * 3, [3.0] * 3]] * 2, axis=1).tolist(),
        "test": np.stack([test, test], axis=1).tolist(),
    }


def test_choices_are_judged_at_their_price() -> None:
    found = {(choice.way, round(choice.share * 12)): choice for choice in choices.choices(line())}
    early = found[choices.VALIDATION, 4]  # after one epoch of all, "b" has the best validation accuracy
    np.testing.assert_allclose(early.regret, 15.0, rtol=1e-5)
    late = found[choices.VALIDATION, 12]
    np.testing.assert_allclose(late.regret, 0.0)
    np.testing.assert_allclose(late.correlation, 0.9487, atol=1e-3)  # b and nothing tie
    product = found["product", 3 + 4]
    np.testing.assert_allclose(product.regret, 0.0)


def test_halving_trains_the_better_half_on() -> None:
    scores, cost = choices.halved(np.array(line()["validation"]), 1)
    # Four for one epoch, two for a second, one for a third.
    assert cost == 4 + 2 + 1
    assert scores[:, 0].argmax() == 2
    scores, cost = choices.halved(np.array(line()["validation"]), 3)
    assert cost == 12
    assert scores[:, 0].argmax() == 1


def test_a_search_is_not_judged_by_its_own_run() -> None:
    own = line() | {"test": [[0.1, 0.5], [0.2, 0.4]]}
    np.testing.assert_allclose(choices.truth_without(own, 0), [50.0, 40.0])
    np.testing.assert_allclose(choices.truth_without(own, 1), [10.0, 20.0])
