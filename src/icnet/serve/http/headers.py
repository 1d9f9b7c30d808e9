"""Headers that tell which model made a response."""

from urllib.parse import quote

from icnet.serve.models import Served


def model_headers(served: Served) -> dict[str, str]:
    """Those of a response. A file may be called anything, so the name is encoded where headers cannot hold it."""
    name = served.name
    return {
        "X-Model-Name": name if name.isascii() and name.isprintable() else quote(name),
        "X-Model-Version": served.version,
    }
