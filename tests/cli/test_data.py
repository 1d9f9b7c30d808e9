import json
import re
from pathlib import Path

import cv2
import labelled_scenes as made

from icnet import cli
from icnet.network.weights import random_weights, save_weights

SCENES = made.scenes()


def test_import_then_check(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made.coco_compressed(tmp_path / "in", SCENES)
    assert cli.run(["data", "import", "in", "-o", "streets"]) == 0
    said = capsys.readouterr()
    assert said.out == "streets: 4 train, 3 val; 3 classes, from coco\n"
    assert "next: icnet data check streets" in said.err
    assert cli.run(["data", "check", "streets", "--page", "check.html"]) == 0
    said = capsys.readouterr()
    assert re.search(r"^streets: 4 train, 3 val; folders; 96x64$", said.out, re.MULTILINE)
    assert re.search(r"^road +56\.76 +53\.39$", said.out, re.MULTILINE)
    assert said.out.endswith("no faults\n")
    page = (tmp_path / "check.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == 6
    assert not re.search(r'(src|href)="(?!data:)', page), "it needs nothing else"


def test_faults_are_named_in_every_form(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made.index_folders(tmp_path / "in", SCENES)
    first = f"train/{SCENES[0].name}"
    (tmp_path / "in" / "images" / f"{first}.jpg").write_bytes(b"\xff\xd8\xff<script>")
    (tmp_path / "in" / "masks" / f"train/{SCENES[1].name}.png").unlink()
    assert cli.run(["data", "import", "in", "-o", "out", "--json"]) == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["pictures"] == {"train": 2, "val": 3, "test": 0}
    assert {fault["kind"] for fault in document["faults"]} == {"unreadable-picture", "picture-without-mask"}
    assert f"  {first} cannot read " in said.err
    assert cli.run(["data", "check", "in", "--json", "--page", "check.html"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [fault["name"] for fault in document["faults"]] == [first, f"train/{SCENES[1].name}"]
    assert document["shares"]["val"].keys() == set(made.NAMES)
    assert "Pictures that cannot be read (1)" in (tmp_path / "check.html").read_text()
    assert cli.run(["data", "check", "in"]) == 1
    assert re.search(r"Pictures without labels \(1\): label them", capsys.readouterr().out)


def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made.index_folders(tmp_path / "in", SCENES)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04")
    for arguments, said in (
        (["data", "import", "nowhere", "-o", "out"], "nowhere does not exist: name a folder, a zip or tar archive"),
        (["data", "import", "in", "-o", "in"], "in is there and not empty"),
        (["data", "import", "in", "-o", "out", "--val", "some"], "is no share of the pictures: write such as 20%"),
        (["data", "import", "in", "-o", "out", "--format", "x"], "there is no format x: choose one of cityscapes, voc"),
        (["data", "import", "in", "-o", "out", "--images", "no"], "no is no folder"),
        (["data", "check", "in", "--classes", "no.yaml"], "cannot read the table of classes no.yaml: No such file"),
        (["data", "check", "broken.zip"], "looks like no format"),
        (["data", "nothing"], "No such command"),
    ):
        assert cli.run(arguments) == 2, arguments
        error = capsys.readouterr().err.strip()
        assert said in error, arguments
        assert "\n" not in error
    assert {path.name for path in tmp_path.iterdir()} == {"in", "broken.zip"}


def test_a_missing_package_is_named(tmp_path, monkeypatch, capsys):
    made.index_folders(tmp_path / "in", SCENES)
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    assert cli.run(["data", "check", str(tmp_path / "in")]) == 2
    assert "needs PyYAML, which is not installed: run pip install 'icnet[data]'" in capsys.readouterr().err


def test_rank_tells_the_order_in_every_form(tmp_path, monkeypatch, capsys, tiny):
    monkeypatch.chdir(tmp_path)
    save_weights(Path("tiny.safetensors"), random_weights(tiny))
    Path("photos").mkdir()
    for scene in SCENES:
        cv2.imwrite(f"photos/{scene.name}.png", scene.image)
    assert cli.run(["data", "rank", "photos", "--model", "tiny.safetensors", "--json", "--csv", "order.csv"]) == 0
    told = json.loads(capsys.readouterr().out)["pictures"]
    assert {one["picture"] for one in told} == {f"photos/{scene.name}.png" for scene in SCENES}
    assert [one["doubt"] for one in told] == sorted((one["doubt"] for one in told), reverse=True)
    assert Path("order.csv").read_text().splitlines()[1] == f"{told[0]['doubt']:.4f},{told[0]['picture']}"
    assert cli.run(["data", "rank", "photos", "--model", "tiny.safetensors", "--most", "1"]) == 0
    assert capsys.readouterr().out == f"{told[0]['doubt']:.4f}  {told[0]['picture']}\n"
