import pytest

from icnet.base.errors import UsageError
from icnet.deploy.licence import NON_COMMERCIAL, decide, inherited, origins
from icnet.network.registry import SHA256, find_weights

OWN = {"recipe": {"initial": "imagenet"}, "miou_strict": 0.5}


@pytest.mark.parametrize("name", SHA256)
def test_bundled_weights_are_not_for_commercial_use(name):
    about = find_weights(name).about
    assert decide(about, None) == NON_COMMERCIAL
    with pytest.raises(UsageError, match="not for commercial use: leave --licence out"):
        decide(about, "apache-2.0")


@pytest.mark.parametrize(
    "about",
    [
        {"recipe": {"initial": "icnet-lite"}},
        {"recipe": {"initial": "icnet-lite.safetensors"}},
        {"recipe": {"distillation": {"teacher": "icnet-lite-large"}}},
        {"history": [{"recipe": {"initial": "icnet-lite"}}], "recipe": {"initial": "best.safetensors"}},
        {"history": [{"licence": "CC BY-NC 4.0, research use, as CamVid"}], "recipe": {"initial": "best.safetensors"}},
        {"history": [{"licence": "CC BY-NC 4.0"}], "licence": "apache-2.0"},
        {"data": "CamVid, train split"},
    ],
)
def test_what_began_from_camvid_stays_under_its_terms(about):
    assert inherited(about) == NON_COMMERCIAL
    assert decide(about, "CC BY-NC 4.0") == NON_COMMERCIAL
    with pytest.raises(UsageError, match="not for commercial use"):
        decide(about, "mit")


def test_unknown_terms_are_asked_for():
    with pytest.raises(UsageError, match="give --licence, such as apache"):
        decide(OWN, None)
    assert decide(OWN, "Apache-2.0") == "apache-2.0"
    assert decide(OWN | {"licence": "cc-by-4.0"}, None) == "cc-by-4.0"
    with pytest.raises(UsageError, match="no identifier of a licence"):
        decide(OWN, "my/own")


def test_origins_are_told_in_order():
    history = [{"recipe": {"initial": "imagenet"}, "origin": "hf://a/b@c"}, {"recipe": None}]
    about = {"history": history, "recipe": {"initial": "best.safetensors", "distillation": {"teacher": "icnet-lite"}}}
    assert origins(about) == ["hf://a/b@c", "imagenet", "best.safetensors", "icnet-lite"]
