"""A stand-in for a model hub: the addresses that `huggingface_hub` calls to push and to pull a model, in memory.

`with hub_server() as hub:` listens on this machine and sets HF_ENDPOINT.
"""

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

LARGE = (".safetensors", ".xml", ".bin")


@dataclass
class Hub:
    url: str = ""
    repos: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    """USER/NAME to its commits, each a hash with the files."""
    store: dict[str, bytes] = field(default_factory=dict)
    """Large files by their SHA-256."""
    calls: list[str] = field(default_factory=list)

    def files(self, repo: str, revision: str = "main") -> tuple[str, dict[str, bytes]] | None:
        commits = self.repos.get(repo, [])
        return next((each for each in reversed(commits) if revision in ("main", each[0])), None)

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        """Add a commit that holds exactly these files."""
        commits = self.repos.setdefault(repo, [])
        name = hashlib.sha1(repr((repo, len(commits), sorted(files))).encode()).hexdigest()
        commits.append((name, files))
        return name


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *rest: object) -> None:
        pass

    def _answer(self, status: int, body: bytes | dict = b"", **headers: str) -> None:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _dispatch(self) -> None:
        path = self.path.split("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.calls.append(f"{self.command} {path}")
        for pattern, act in (
            (r"/api/repos/create", self._create),
            (r"/api/validate-yaml", lambda body: self._answer(200, {"errors": [], "warnings": []})),
            (r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self._info),
            (r"/api/models/([^/]+/[^/]+)/preupload/main", self._preupload),
            (r"/api/models/([^/]+/[^/]+)/commit/main", self._commit),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self._batch),
            (r"/store/(.+)", self._put),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._resolve),
        ):
            if found := re.fullmatch(pattern, path):
                return act(body, *found.groups())
        return self._answer(404)

    do_GET = do_HEAD = do_POST = do_PUT = _dispatch

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked['organization']}/{asked['name']}"
        known = repo in self.hub.repos
        if not known:
            self.hub.commit(repo, {".gitattributes": b""})
        self._answer(409 if known else 200, {"url": f"{self.hub.url}/{repo}"})

    def _info(self, body: bytes, repo: str, revision: str | None) -> None:
        if (found := self.hub.files(repo, revision or "main")) is None:
            return self._missing(repo)
        siblings = [{"rfilename": name} for name in found[1]]
        return self._answer(200, {"id": repo, "sha": found[0], "siblings": siblings})

    def _missing(self, repo: str) -> None:
        self._answer(404, X_Error_Code="RevisionNotFound" if repo in self.hub.repos else "RepoNotFound")

    def _preupload(self, body: bytes, repo: str) -> None:
        files = json.loads(body)["files"]
        modes = {each["path"]: "lfs" if each["path"].endswith(LARGE) else "regular" for each in files}
        self._answer(200, {"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]})

    def _batch(self, body: bytes, repo: str) -> None:
        objects = json.loads(body)["objects"]
        for each in objects:
            each["actions"] = {"upload": {"href": f"{self.hub.url}/store/{each['oid']}", "header": {}}}
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _put(self, body: bytes, name: str) -> None:
        assert hashlib.sha256(body).hexdigest() == name
        self.hub.store[name] = body
        self._answer(200)

    def _commit(self, body: bytes, repo: str) -> None:
        header, *operations = (json.loads(line) for line in body.splitlines())
        commit, before = self.hub.repos[repo][-1]
        if header["value"]["parentCommit"] != commit:
            return self._answer(412)
        files = dict(before)
        for operation in operations:
            value = operation["value"]
            match operation["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.store[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        made = self.hub.commit(repo, files)
        return self._answer(200, {"commitUrl": f"{self.hub.url}/{repo}/commit/{made}", "commitOid": made})

    def _resolve(self, body: bytes, repo: str, revision: str, name: str) -> None:
        if (found := self.hub.files(repo, revision)) is None:
            return self._missing(repo)
        commit, files = found
        if name not in files:
            return self._answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        etag = hashlib.sha256(files[name]).hexdigest()
        return self._answer(200, files[name], ETag=f'"{etag}"', X_Repo_Commit=commit)


@contextmanager
def hub_server() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with patch.dict(os.environ, HF_ENDPOINT=hub.url, HF_TOKEN="hf_none"):
            yield hub
    finally:
        server.shutdown()
        server.server_close()


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A private and a public key, to sign models with."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    encoding = serialization.Encoding.PEM
    none = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, none))
    public.write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public
