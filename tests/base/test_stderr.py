import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from icnet.base.stderr import messages_seen, native_messages_dropped
from icnet.cli import terminal
from icnet.cli.terminal import complain


@pytest.fixture(autouse=True)
def descriptor_2(capfd, monkeypatch) -> Iterator[None]:
    """What pytest puts in place of `sys.stderr` writes past the descriptor."""
    with open(2, "w", buffering=1, closefd=False) as stream:
        monkeypatch.setattr(terminal, "_stderr", Console(file=stream))
        yield


def test_drops_what_is_written_below_python_and_only_then(capfd):
    os.write(2, b"before ")
    with native_messages_dropped():
        os.write(2, b"meanwhile ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_our_own_messages_are_seen_at_once(capfd):
    with native_messages_dropped():
        os.write(2, b"dropped ")
        complain("cannot read a.png")
        os.write(2, b"dropped ")
    complain("cannot read b.png")
    assert capfd.readouterr().err == "icnet: cannot read a.png\nicnet: cannot read b.png\n"


def elsewhere(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_silence_of_several_threads_ends_with_the_last(capfd):
    first, second = native_messages_dropped(), native_messages_dropped()
    first.__enter__()
    elsewhere(second.__enter__)
    os.write(2, b"both ")
    first.__exit__(None, None, None)  # the one that began need not be the last
    os.write(2, b"one ")
    complain("meanwhile")
    second.__exit__(None, None, None)
    os.write(2, b"none")
    assert capfd.readouterr().err == "icnet: meanwhile\nnone"


def test_no_message_is_lost_and_no_descriptor_left_among_many_threads(capfd):
    silenced = threading.Barrier(5)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None

    def decode() -> None:
        silenced.wait()
        for _ in range(300):
            with native_messages_dropped():
                pass

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(decode) for _ in range(4)]
        silenced.wait()
        for number in range(300):
            complain(number)
        for done in work:
            done.result()
    assert capfd.readouterr().err.split() == [word for number in range(300) for word in ("icnet:", str(number))]
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


def test_without_standard_error_nothing_is_silenced_and_nothing_fails(monkeypatch, capfd):
    def closed(descriptor: int) -> int:
        raise OSError(9, "Bad file descriptor")

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", closed)
        with native_messages_dropped(), messages_seen():
            os.write(2, b"as before ")
    with pytest.raises(ZeroDivisionError), native_messages_dropped():
        raise ZeroDivisionError
    os.write(2, b"and after")
    assert capfd.readouterr().err == "as before and after"
