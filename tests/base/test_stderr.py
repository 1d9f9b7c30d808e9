import os
import threading
import time

from icnet.base.stderr import native_messages_dropped
from icnet.cli.terminal import complain


def test_drops_what_is_written_below_python_and_only_then(capfd):
    os.write(2, b"before ")
    with native_messages_dropped():
        os.write(2, b"meanwhile ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_our_own_messages_wait_until_they_can_be_seen(capfd):
    silent, told = threading.Event(), threading.Event()

    def read() -> None:
        with native_messages_dropped():
            silent.set()
            told.wait(0.2)  # long enough for a message that does not wait to be lost

    reader = threading.Thread(target=read)
    reader.start()
    silent.wait()
    start = time.monotonic()
    complain("cannot read a.png")
    told.set()
    reader.join()
    assert capfd.readouterr().err == "icnet: cannot read a.png\n"
    assert time.monotonic() - start > 0.1
