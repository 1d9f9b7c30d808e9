import av
import cv2
import pytest

from icnet import cli
from icnet.base.classes import CAMVID
from icnet.network.weights import random_weights, save_weights


def test_demo_writes_video_and_still_and_says_so(tiny, tmp_path, capsys):
    save_weights(tmp_path / "w.safetensors", random_weights(tiny))
    out = tmp_path / "out"
    assert cli.run(["demo", "-o", str(out), "--model", str(tmp_path / "w.safetensors"), "--seconds", "0.2"]) == 0
    with av.open(str(out / "demo.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 15)
        assert (stream.height, stream.width) == (720, 1920)
        assert sum(1 for _ in container.decode(video=0)) == 3
    assert cv2.imread(str(out / "demo.png")).shape == (720, 960, 3)
    assert sorted(path.name for path in out.iterdir()) == ["demo.mp4", "demo.png", "street.png"]
    printed = capsys.readouterr().out
    assert "3 frames of a synthetic street, segmented with tiny" in printed
    assert "frames per second" in printed
    assert str(out / "demo.mp4") in printed
    shares = [float(line.split()[1].rstrip("%")) for line in printed.splitlines() if line.strip().startswith(CAMVID.names)]
    assert len(shares) == 12
    assert sum(shares) == pytest.approx(100, abs=0.6)


def test_demo_of_an_unknown_model_is_one_line(tmp_path, capsys):
    assert cli.run(["demo", "-o", str(tmp_path / "out"), "--model", "nonsense"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()
