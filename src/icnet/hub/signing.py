"""Signatures over the files of a model, in the format of the OpenSSF's model signing: a key pair, no service, no network.

`model_signing verify key` checks them too. The keys are elliptic ones in PEM:
`openssl ecparam -name prime256v1 -genkey -noout -out key.pem; openssl ec -in key.pem -pubout -out key.pub`
"""

from pathlib import Path
from typing import Any

from icnet.base.errors import ModelError, UsageError, require
from icnet.hub.manifest import SIGNATURE


def sign(folder: Path, private_key: Path) -> None:
    """Write the signature of all files in a folder into it.

    Raises:
        UsageError: the package model-signing is missing, or the key cannot be used.
    """
    signing = _package("signing")
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=private_key)
    except (OSError, ValueError, TypeError) as error:  # TypeError: it needs a password
        raise _unusable(private_key, "a private key", error) from error
    signer.set_hashing_config(_hashing()).sign(folder, folder / SIGNATURE)


def check_signature(folder: Path, public_key: Path) -> None:
    """Compare the files in a folder, all of them, with its signature.

    Raises:
        UsageError: the package model-signing is missing, or the key cannot be used.
        ModelError: it is not signed, not with this key, or a file is missing, new or not what was signed.
    """
    verifying = _package("verifying")
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(public_key, "a public key", error) from error
    if not (folder / SIGNATURE).is_file():
        raise ModelError(f"it is not signed: there is no {SIGNATURE}")
    try:
        verifier.set_hashing_config(_hashing()).verify(folder, folder / SIGNATURE)
    except Exception as error:  # a signature from a stranger can fail in any way; whatever is not a success is none
        reason = str(error).strip() or "it is of another key, or was changed"
        raise ModelError(f"the signature does not hold: {' '.join(reason.split())}") from error


def _package(module: str) -> Any:
    return require(f"model_signing.{module}", "signatures need the package model-signing", "'icnet[signing]'")


def _hashing() -> Any:
    """All files but the signature; the cache of pulled models has links."""
    return _package("hashing").Config().set_allow_symlinks(True).set_ignored_paths(paths=[SIGNATURE])


def _unusable(path: Path, what: str, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or "it is not one, or has a password"
    return UsageError(
        f"{path} cannot be used as {what} ({reason}): expected an elliptic one (prime256v1) in PEM, without a password"
    )
