import dataclasses
import json

import pytest

from icnet.base.errors import UsageError
from icnet.data.batches import CropStage
from icnet.network.spec import PRESETS
from icnet.training.override import override
from icnet.training.recipe import RECIPES, FinalStage, Recipe, crop_stages, learning_rate


def test_every_published_model_has_a_recipe_that_is_json():
    assert RECIPES.keys() == PRESETS.keys()
    for recipe in RECIPES.values():
        assert json.loads(json.dumps(recipe.to_dict()))["epochs"] == recipe.epochs


def test_the_sparse_model_starts_from_the_compact_one_and_loses_sixty_percent():
    recipe = RECIPES["icnet-camvid-ava-sparse-60-0001"]
    assert recipe.initial == "icnet-camvid-ava-compact-60-0001"
    assert (recipe.pruning.ratio, recipe.pruning.granularity) == (0.6, "weight")


def test_learning_rate_warms_up_and_decays():
    recipe = Recipe(learning_rate=2.0, final_rate=0.1, warmup_steps=10)
    assert learning_rate(recipe, 4, 110) == pytest.approx(1.0)
    assert learning_rate(recipe, 10, 110) == pytest.approx(2.0)
    assert learning_rate(recipe, 60, 110) == pytest.approx(1.1)
    assert learning_rate(recipe, 110, 110) == pytest.approx(0.2)


def test_each_stage_gets_its_share_of_the_crops():
    recipe = Recipe(epochs=10, batch_size=4, crop_hw=(64, 96))
    assert crop_stages(recipe, 20) == (CropStage(50, 4, (64, 96)),)
    recipe = dataclasses.replace(recipe, final=FinalStage(share=0.25, crop_hw=(96, 128), batch_size=2))
    assert crop_stages(recipe, 20) == (CropStage(38, 4, (64, 96)), CropStage(25, 2, (96, 128)))  # 150 and 50 crops


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("epochs=7", "epochs", 7),
        ("jaccard=0.5", "jaccard", 0.5),
        ("learning_rate=1", "learning_rate", 1.0),
        ("loss=ohem", "loss", "ohem"),
        ("initial=a=b.safetensors", "initial", "a=b.safetensors"),
        ("crop_hw=64x96", "crop_hw", (64, 96)),
        ("cascade=1, 0.5,0", "cascade", (1.0, 0.5, 0.0)),
        ("augmentation.scale=0.5,2.0", "augmentation.scale", (0.5, 2.0)),
        ("augmentation.flip=false", "augmentation.flip", False),
        ("final.share=0.1", "final.share", 0.1),
        ("distillation.teacher=x.safetensors", "distillation.teacher", "x.safetensors"),
        ("pruning.granularity=channel", "pruning.granularity", "channel"),
        ("pruning=none", "pruning", None),
    ],
)
def test_any_field_can_be_set(assignment, path, value):
    recipe = RECIPES["icnet-camvid-ava-sparse-60-0001"]
    changed = override(recipe, [assignment])
    found, inner = changed, recipe
    *parts, last = path.split(".")
    for name in parts:
        found, inner = getattr(found, name), getattr(inner, name)
    assert getattr(found, last) == value
    assert type(getattr(found, last)) is type(value)
    if inner is not None:  # all else stays
        assert dataclasses.replace(found, **{last: getattr(inner, last)}) == inner


def test_later_assignments_win():
    assert override(Recipe(), ["seed=1", "pruning.ratio=0.3", "pruning.ratio=0.4", "seed=2"]).pruning.ratio == 0.4


@pytest.mark.parametrize(
    ("assignment", "text"),
    [
        ("jaccard", "write name=value"),
        ("speed=1", "no 'speed' there; choose one of epochs, batch_size"),
        ("augmentation.speed=1", "no 'speed' there; choose one of scale, aspect"),
        ("jaccard.weight=1", "jaccard has no parts"),
        ("final=3", "set one of share, crop_hw, batch_size"),
        ("augmentation=none", "set one of scale"),
        ("epochs=1.5", "expected a whole number"),
        ("jaccard=much", "expected a number"),
        ("jaccard=nan", "expected a number"),
        ("augmentation.flip=maybe", "expected true or false"),
        ("loss=dice", "expected one of cross-entropy, ohem"),
        ("crop_hw=64", "expected 2 numbers"),
        ("epochs=0", "epochs and batch_size must be 1 or more"),
        ("final.share=1", "final.share must be between 0 and 1"),
        ("pruning.begin=0.9", "pruning.begin and end must be in order"),
        ("ohem_probability=0", "ohem_probability must be between 0 and 1"),
        ("cascade=1,1", "cascade must be three numbers"),
        ("distillation.temperature=0", "distillation.temperature must be above 0"),
    ],
)
def test_a_wrong_assignment_is_one_line(assignment, text):
    with pytest.raises(UsageError) as caught:
        override(Recipe(), [assignment])
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
