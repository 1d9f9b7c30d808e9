"""Coverage-guided fuzzing (Atheris, libFuzzer) of what reads foreign bytes; it ends with the first input that breaks a promise.

usage: python coverage_fuzz.py TARGET FOLDER [OPTION OF libFuzzer ...]
"""

import contextlib
import json
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["icnet", "h11", "python_multipart"]):
    from listening import bare_service

    from icnet.base.classes import CAMVID
    from icnet.base.errors import DataError, InputError, ModelError
    from icnet.data.camvid import CamVid
    from icnet.data.formats.known import open_source
    from icnet.media.content import sniff
    from icnet.network.stored import Stored
    from icnet.network.weights import _serialize, parse_weights, random_weights
    from icnet.runtime.ir import ABOUT, CLASSES, LABELS, check_contract, read_about, read_classes
    from icnet.serve.errors import Refused
    from icnet.serve.http.accept import preferred
    from icnet.serve.http.exchange import Exchange, head_bytes
    from icnet.serve.http.multipart import picture_part
    from icnet.serve.http.wire import Wire

from coverage_documents import COCO, LABEL_STUDIO
from tiny_network import TINY

from icnet.network.openvino_model import openvino_model

SERVICE, OFFERS = bare_service(), ("image/png", "application/json")
WEIGHTS = random_weights(TINY)
IR = openvino_model(WEIGHTS)
HEAD = b"POST /v1/segment?a=%20b HTTP/1.1\r\nHost: a\r\nAccept: image/*;q=0.5, */*\r\n"
FORM = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\nx\r\n--b--\r\n'


def sniffing(folder: Path, data: bytes) -> None:
    (folder / "file").write_bytes(data)
    assert sniff(folder / "file") in ("picture", "playlist", None)


def request(folder: Path, data: bytes) -> None:
    wire = Wire(None, 1.0)
    wire.about = {"client": None, "server": None, "scheme": "http"}
    wire.received, wire.ended = bytearray(data), True
    with contextlib.suppress(Refused):
        while wire.received and (size := head_bytes(wire.received, SERVICE.limits.header_bytes)) is not None:
            received = wire.take()
            wire.received += received[size:]
            exchange = Exchange(bytes(received[:size]), wire, SERVICE)
            headers = dict(exchange.scope["headers"])
            preferred(headers.get(b"accept", b"").decode("latin-1"), OFFERS)
            picture_part(b"".join(exchange._body), headers.get(b"content-type", b"").decode("latin-1"))
            if exchange.unread:
                break


def listing(folder: Path, data: bytes) -> None:
    (folder / "train.txt").write_bytes(data)
    with contextlib.suppress(DataError):
        CamVid(folder, "train")


def labels(folder: Path, data: bytes) -> None:
    """Documents of COCO (an object), Label Studio (an array) and YOLO (anything else)."""
    form, name = {b"{": ("coco", "c.json"), b"[": ("label-studio", "c.json")}.get(data[:1], ("yolo", "data.yaml"))
    (folder / "labelled" / name).write_bytes(data)
    with contextlib.suppress(DataError, InputError):
        for item in open_source(folder / "labelled", name=form).items:
            if item.labels is not None:
                item.labels((48, 64))


def weights(folder: Path, data: bytes) -> None:
    """The file as it is, or what it says of the network."""
    file = data
    if data.startswith(b"{"):
        file = _serialize(WEIGHTS.tensors, metadata={"icnet": data.decode("utf-8", "replace")})
    with contextlib.suppress(ModelError):
        parse_weights(Stored(folder / "w.safetensors", file))


def told(folder: Path, data: bytes) -> None:
    """What an IR tells about itself; OpenVINO's own reading of it crashes, and is tried in another process for that."""
    check_contract(IR, folder / "m.xml")
    for key in (ABOUT, CLASSES, LABELS):
        IR.set_rt_info(data.decode("utf-8", "replace"), key)
    assert isinstance(read_about(IR), dict)
    with contextlib.suppress(ModelError):
        assert len(read_classes(IR, folder / "m.xml")) == 12


@atheris.instrument_func
def planted(folder: Path, data: bytes) -> None:
    """The control: a fault behind a beginning that chance alone would not find."""
    for expected, found in zip(b"icn", data, strict=False):
        if expected != found:
            return
    if len(data) > 2:
        raise ValueError("found")


def seeds() -> dict[str, list[bytes]]:
    """Good inputs, from which mutation starts."""
    told = json.dumps({"spec": TINY.to_dict(), "about": {}}).encode()
    return {
        "sniffing": [b"\x89PNG\r\n\x1a\n", b"#EXTM3U\n", b"\0\0\0\x1cftypavif\0\0\0\0avif", b"BM" + bytes(12) + b"\x28"],
        "request": [
            HEAD + b"Content-Length: %d\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n" % len(FORM) + FORM,
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
        "listing": [b"/a/train/x y.png /a/trainannot/x y.png\n", "train/ü.png 'trainannot/ü.png'".encode("utf-8-sig")],
        "weights": [told, _serialize({}, metadata={"icnet": told.decode()})],
        "labels": [json.dumps(COCO).encode(), json.dumps(LABEL_STUDIO).encode(), b"names: {0: road, 1: sky}\ntrain: images\n"],
        "told": [json.dumps(CAMVID.to_dict()).encode(), b" ".join(b"n%d" % index for index in range(12)), b'{"licence": "x"}'],
        "planted": [b""],
    }


def main(target: str, place: str, *options: str) -> None:
    folder, corpus = Path(place), Path(place, "corpus")
    for name in ("corpus", "train", "trainannot"):
        (folder / name).mkdir()
    for number, data in enumerate(seeds()[target]):
        (corpus / f"seed{number}").write_bytes(data)
    for split in ("train", "trainannot"):
        for name in ("x y.png", "ü.png"):
            (folder / split / name).touch()
    for name in ("images/a.png", "labels/a.txt"):
        (folder / "labelled" / name).parent.mkdir(parents=True)
        (folder / "labelled" / name).write_bytes(b"0 0 0 0.5 0 0.5 0.5\n")
    # No limit of memory: what Linux tells is the peak of whoever started this, a test's worker of gigabytes for one.
    atheris.Setup(
        [sys.argv[0], str(corpus), f"-artifact_prefix={folder}/", "-timeout=5", "-rss_limit_mb=0", *options],
        lambda data: globals()[target](folder, data),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
