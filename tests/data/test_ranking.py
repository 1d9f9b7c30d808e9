import shutil

import cv2
import labelled_scenes as made
import numpy as np
import pytest

from icnet.base.errors import DataError
from icnet.data.ranking import doubt, rank

SCENES = made.scenes(3, 0)


def test_doubt_of_known_answers():
    assert doubt(np.array([[[1, 0, 0]]], np.float32)) == 0
    assert doubt(np.array([[[0.4, 0.2, 0.4]]], np.float32)) == 1
    assert doubt(np.array([[[0.1, 0.6, 0.3], [0, 0, 1]]], np.float32)) == pytest.approx((0.7 + 0) / 2)


def brightness(picture: np.ndarray) -> np.ndarray:
    """Two classes of which brighter pictures are surer."""
    sure = 0.5 + picture.mean() / 510
    return np.full((2, 2, 2), (sure, 1 - sure))


def test_the_least_sure_come_first_and_neighbours_only_once(tmp_path):
    for scene in SCENES:
        (tmp_path / "a").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "a" / f"{scene.name}.png"), scene.image)
    darker = cv2.convertScaleAbs(SCENES[0].image, alpha=0.9)
    cv2.imwrite(str(tmp_path / "again.jpg"), darker)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    ranking = rank(tmp_path, brightness)
    expected = sorted(
        [("again.jpg", darker), *((f"a/{scene.name}.png", scene.image) for scene in SCENES[1:])], key=lambda one: one[1].mean()
    )
    assert [one.name for one in ranking.pictures] == [name for name, _ in expected]
    assert [one.doubt for one in ranking.pictures] == sorted((one.doubt for one in ranking.pictures), reverse=True)
    assert ranking.alike == ((f"a/{SCENES[0].name}.png", "again.jpg"),)
    assert [name for name, _ in ranking.unreadable] == ["broken.jpg"]
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "again.jpg").unlink()
    with pytest.raises(DataError, match="no picture that can be read: cannot read"):
        rank(tmp_path, brightness)
