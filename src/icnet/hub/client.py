"""The library `huggingface_hub`, used for requests alone: it reports nothing, and a model's own code is never run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from icnet.base.errors import IcnetError, ModelError, require
from icnet.hub.address import Address
from icnet.hub.manifest import MANIFEST

_SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",  # another cache, in the home, and other hosts, for the sake of files a thousand times as large
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_SYMLINKS_WARNING": "1",
}


class Unreachable(Exception):
    """The hub cannot be reached, or shall not be."""


def hub() -> Any:
    """The package.

    Raises:
        UsageError: it is not installed.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    return require("huggingface_hub", "a model at hf:// needs huggingface_hub", "'icnet[hub]'")


def endpoint() -> str | None:
    """The hub's address, where the user names another than the library's own."""
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def talking(address: Address) -> Iterator[None]:
    """Turn what the library raises into what a user understands.

    Raises:
        ModelError: there is no such model, revision or file, or the hub refuses.
        Unreachable: there is no network, the hub is down, or the user wants to be offline.
    """
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"there is no model {address}, or it is not yours to see: check the address, or log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{address} does not exist: there is no revision {address.revision} of it") from error
    except errors.RemoteEntryNotFoundError as error:
        name = str(error.response.url).rsplit("/", 1)[-1]
        what = "so it holds no model of icnet: it must come from `icnet push`" if name == MANIFEST else "so it is incomplete"
        raise ModelError(f"{address} has no file {name}, {what}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status >= 500:
            raise Unreachable(f"the hub answers {status}") from error
        advice = "log in with `hf auth login`" if status in (401, 403) else "try again later"
        reason = (error.server_message or error.response.reason_phrase or "no reason given").splitlines()[0]
        raise ModelError(f"the hub refuses {address} ({status}, {reason}): {advice}") from error
    except (errors.OfflineModeIsEnabled, httpx2.TransportError, errors.LocalEntryNotFoundError) as error:
        raise Unreachable(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    except IcnetError:
        raise
    except (OSError, ValueError) as error:  # a file cut short, an answer that is none
        raise ModelError(f"{address}: {str(error).splitlines()[0]}; try again") from error
