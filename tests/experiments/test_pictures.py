import inspect
import itertools

import numpy as np
import pytest
from PIL import Image

import jaxaug
from experiments import gallery as command
from experiments.figures import gallery
from experiments.figures import ricap as ricap_picture
from experiments.figures.curves import draw_curves


def colors(path) -> int:
    with Image.open(path) as picture:
        return len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0))


def record(epoch: int, **changes) -> dict:
    return {
        "epoch": epoch,
        "train_loss": 1 / epoch,
        "train_accuracy": 1 - 1 / epoch,
        "test_loss": 2 / epoch,
        "test_accuracy": 0.5,
    } | changes


@pytest.mark.parametrize(
    "records",
    [
        [record(1)],
        [record(1, test_loss=None, test_accuracy=None), record(2)],
        [record(e, validation_loss=1.0, validation_accuracy=0.1) for e in range(1, 60)],
    ],
)
def test_curves_are_drawn_whatever_was_measured(tmp_path, records):
    draw_curves(records, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (900, 350)
    assert colors(tmp_path / "curves.png") > 50


def test_the_picture_of_ricap_holds_photographs(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ricap_picture", "--out", str(tmp_path / "new" / "ricap.png")])
    ricap_picture.main()
    assert colors(tmp_path / "new" / "ricap.png") > 10_000


def test_the_gallery_draws_three_settings_of_each_function(tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "gallery.png"
    drawn = ["cutout", "gaussian_noise", "ricap"]
    monkeypatch.setattr("sys.argv", ["gallery", "--out", str(out), "--functions", *drawn, "--photos", "1"])
    assert command.main() == 0
    assert "3 functions" in capsys.readouterr().out
    with Image.open(out) as picture:
        pixels = np.asarray(picture)
    cell, count = gallery.SIDE + gallery.GAP, 2
    assert pixels.shape == (3 * (cell + gallery.LINE) + gallery.GAP, gallery.LEFT + 3 * (count * cell + 8), 3)
    for row in range(3):
        top = row * (cell + gallery.LINE) + gallery.GAP + gallery.LINE
        lefts = [gallery.LEFT + k * (count * cell + 8) for k in range(3)]
        settings = [pixels[top : top + gallery.SIDE, left : left + gallery.SIDE] for left in lefts]
        assert all(setting.std() > 10 for setting in settings)
        assert all((a != b).any() for a, b in itertools.pairwise(settings))


def test_every_setting_of_the_gallery_is_an_option_of_its_function():
    assert gallery.STRENGTHS.keys() <= set(gallery.names())
    for name in gallery.STRENGTHS:
        function, settings = getattr(jaxaug, name), gallery.STRENGTHS[name]
        assert len(settings) == 3
        for options in settings:
            assert options.keys() <= inspect.signature(function).parameters.keys(), name


def test_an_unknown_function_is_refused_before_anything_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gallery", "--out", str(tmp_path / "x.png"), "--functions", "cutot"])
    assert command.main() == 2
    assert "did you mean 'cutout'?" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
