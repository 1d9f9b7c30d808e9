import json
import signal
from dataclasses import replace

import cv2
import pytest

from icnet.cli import run
from icnet.network import spec
from icnet.network.weights import load_weights
from icnet.training import recipe as recipes


@pytest.fixture
def camvid(tmp_path, blocks):
    """A small labelled set in CamVid's layout."""
    root = tmp_path / "camvid"
    for split, count, seed in (("train", 4, 0), ("val", 2, 9)):
        (root / split).mkdir(parents=True)
        (root / f"{split}annot").mkdir()
        dataset = blocks(count, seed=seed)
        lines = []
        for index in range(count):
            name = f"{index}.png"
            cv2.imwrite(str(root / split / name), dataset[index].image)
            cv2.imwrite(str(root / f"{split}annot" / name), dataset[index].labels)
            lines.append(f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}")
        (root / f"{split}.txt").write_text("\n".join(lines))
    return root


@pytest.fixture
def arguments(camvid, tmp_path, tiny, monkeypatch, eager):
    monkeypatch.setitem(spec.PRESETS, "tiny", tiny)
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipes.Recipe())
    common = ["train", "--data", str(camvid), "--out", str(tmp_path / "run"), "--model", "tiny"]
    return [*common, "--batch-size", "2", "--crop", "64x96", "--epochs", "3", "--json"]


def test_train_stop_and_resume(arguments, tmp_path, capsys):
    assert run([*arguments, "--max-minutes", "0"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["finished"], first["step"], first["total_steps"]) == (False, 1, 6)
    assert run([*arguments, "--resume"]) == 0
    out, err = capsys.readouterr()
    last = json.loads(out)
    assert (last["finished"], last["step"]) == (True, 6)
    assert "miou_strict" in err
    about = load_weights(tmp_path / "run" / "best.safetensors").about
    assert about["recipe"]["crop_hw"] == [64, 96]
    assert about["temperature"] > 0
    assert (tmp_path / "run" / "train_batches.jpg").exists()
    page, card = ((tmp_path / "run" / name).read_text() for name in ("report.html", "README.md"))
    assert page.count("<figure>") == 2
    assert page.count("<polyline") == 3
    assert "| Road |" in card
    assert "4 pictures to learn from, 2 to validate on, of camvid" in card
    assert "Nothing is known to bind what they began from" in card
    assert str(tmp_path) not in page + card


def test_what_begins_from_camvid_says_so(arguments, tmp_path, capsys, tiny):
    from icnet.network.weights import random_weights, save_weights

    for name, about in (("camvid", {"data": "CamVid, train split"}), ("own", {"data": "streets of mine"})):
        save_weights(tmp_path / f"{name}.safetensors", replace(random_weights(tiny), about=about))
        start = ["--initial", str(tmp_path / f"{name}.safetensors"), "--out", str(tmp_path / f"run-{name}"), "--max-minutes", "0"]
        assert run([*arguments, *start]) == 0
        bound = name == "camvid"
        assert ("tiny learnt from CamVid, so what begins from it is not for commercial use" in capsys.readouterr().err) == bound
        assert ("not for commercial use" in (tmp_path / f"run-{name}" / "README.md").read_text()) == bound


def test_the_size_goes_into_the_weights_and_the_crops(arguments, tmp_path, capsys):
    without = [one for one in arguments if one not in ("--crop", "64x96")]
    assert run([*without, "--size", "48x64", "--max-minutes", "0"]) == 0
    weights = load_weights(tmp_path / "run" / "best.safetensors")
    assert weights.spec.size_hw == (48, 64)
    assert weights.about["recipe"]["crop_hw"] == [176, 240]  # half of 352x480, as 48x64 is of 96x128
    for size, line in (("50x64", "such as 48x64 or 64x64"), ("big", "--size 'big' is no size")):
        capsys.readouterr()
        assert run([*without, "--size", size]) == 2
        assert line in capsys.readouterr().err


def test_as_many_epochs_as_fit(arguments, tmp_path, capsys, monkeypatch):
    from icnet.training import fit

    without = [*arguments[: arguments.index("--epochs")], "--json"]
    monkeypatch.setattr(fit, "step_seconds", lambda learner, first, batches: 6.0)
    monkeypatch.setattr(fit, "validation_seconds", lambda learner: 8.0)
    # An epoch: two steps of 6 s and an eighth of a validation of 8 s.
    minutes = str((3 * 13 + 8.5) / 60 / (1 - fit.RESERVE))
    assert run([*without, "--fit-minutes", minutes, "--max-minutes", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["total_steps"] == 6
    assert run([*without, "--fit-minutes", minutes, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["finished"]
    for extra in (["--epochs", "3"], ["--set", "epochs=3"]):
        assert run([*without, "--fit-minutes", "5", *extra]) == 2
        assert "give one of them" in capsys.readouterr().err
    assert run([*without, "--fit-minutes", "inf"]) == 2
    assert run([*without, "--fit-minutes", "0.2", "--out", str(tmp_path / "other")]) == 2
    assert "an epoch does not fit into 0.2 minutes here: give 1 or" in capsys.readouterr().err


def test_imagenet_is_for_the_lite_family(arguments, capsys):
    assert run([*arguments, "--initial", "imagenet"]) == 2
    assert "no ImageNet weights for tiny: choose icnet-lite" in capsys.readouterr().err


def test_ctrl_c_stops_cleanly_and_saves(arguments, tmp_path, capsys, monkeypatch):
    from icnet.training.trainer import Trainer

    step = Trainer.train_step

    def interrupted(self, images, labels):
        signal.getsignal(signal.SIGINT)(signal.SIGINT, None)  # what Ctrl-C calls
        return step(self, images, labels)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 1
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        (["--crop", "64"], "--crop '64' is no size: write height x width"),
        (["--crop", "60x96"], "input size 60x96"),
        (["--model", "huge"], "unknown model 'huge'"),
        (["--data", ""], "no training data"),
        (["--data", "nowhere"], "no train.txt in nowhere"),
        (["--initial", "none.safetensors"], "no model file at none.safetensors"),
        (["--resume"], "holds no run to resume"),
        (["--epochs", "0"], "--epochs"),
        (["--precision", "int8"], "expected one of float32, bfloat16"),
        (["--sparsity", "1"], "pruning.ratio must be between 0 and 1"),
        (["--teacher", "none.safetensors"], "no model file at none.safetensors"),
        (["--set", "speed=2"], "no 'speed' there"),
    ],
)
def test_mistakes_are_one_line(arguments, capsys, extra, text):
    assert run([*arguments, *extra]) == 2
    out, err = capsys.readouterr()
    assert text in err.splitlines()[-1]
    assert out == ""


def test_an_output_that_is_a_file(arguments, tmp_path, capsys):
    (tmp_path / "run").write_text("")
    assert run(arguments) == 2
    assert "cannot write" in capsys.readouterr().err.splitlines()[-1]


def _recipe(capsys, *options) -> dict:
    assert run(["train", "--show-recipe", *options]) == 0
    return json.loads(capsys.readouterr().out)["recipe"]


@pytest.mark.parametrize("model", spec.PRESETS)
def test_show_recipe_needs_no_data_and_shows_the_models_own(capsys, model):
    assert _recipe(capsys, "--model", model) == json.loads(json.dumps(recipes.RECIPES[model].to_dict()))


def test_options_change_the_recipe_and_set_comes_last(capsys):
    given = ["--learning-rate", "0.5", "--precision", "bfloat16", "--loss", "ohem", "--teacher", "a.safetensors"]
    recipe = _recipe(capsys, *given, "--sparsity", "0.4", "--set", "pruning.ratio=0.3", "--set", "augmentation.scale=1,2")
    assert (recipe["learning_rate"], recipe["precision"], recipe["loss"]) == (0.5, "bfloat16", "ohem")
    assert recipe["distillation"]["teacher"] == "a.safetensors"
    assert recipe["pruning"]["ratio"] == 0.3
    assert recipe["augmentation"]["scale"] == [1.0, 2.0]
    assert recipe["final"] is not None


def test_crop_and_batch_size_hold_for_the_whole_run(capsys):
    recipe = _recipe(capsys, "--crop", "64x96", "--batch-size", "2")
    assert (recipe["crop_hw"], recipe["batch_size"], recipe["final"]) == ([64, 96], 2, None)
    assert _recipe(capsys, "--crop", "64x96", "--set", "final.share=0.1")["final"]["share"] == 0.1


def test_no_sparsity_means_no_pruning(capsys):
    assert _recipe(capsys, "--model", "icnet-camvid-ava-sparse-60-0001", "--sparsity", "0")["pruning"] is None
