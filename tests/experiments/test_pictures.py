import numpy as np
import pytest
from PIL import Image

from experiments import ricap_picture
from experiments.curves import draw_curves


def colours(path) -> int:
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
    assert colours(tmp_path / "curves.png") > 50


def test_the_picture_of_ricap_holds_photographs(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ricap_picture", "--out", str(tmp_path / "new" / "ricap.png")])
    ricap_picture.main()
    assert colours(tmp_path / "new" / "ricap.png") > 10_000
