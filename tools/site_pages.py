"""Pages of the site that lie elsewhere, so that nothing is written twice: a hook of MkDocs."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]

BORROWED = {
    "index.md": ROOT / "README.md",
    "changelog.md": ROOT / "CHANGELOG.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    **{f"cards/{path.name}": path for path in (ROOT / "src" / "icnet" / "weights").glob("*.md")},
}


def on_files(files: Files, config: Any) -> Files:
    """Take the pages in."""
    for uri, path in BORROWED.items():
        files.append(File.generated(config, uri, content=path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links between the root of the project and `docs` lead to the same pages here."""
    for name, uri in (("README.md", "index.md"), ("CHANGELOG.md", "changelog.md"), ("CONTRIBUTING.md", "contributing.md")):
        markdown = markdown.replace(f"](../{name})", f"]({uri})")
        if page.file.src_uri in BORROWED:
            markdown = markdown.replace(f"]({name})", f"]({uri})")
    return markdown.replace("](docs/", "](") if page.file.src_uri in BORROWED else markdown
