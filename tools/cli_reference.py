#!/usr/bin/env python3
"""Write docs/reference/cli.md from the commands themselves.

usage: python tools/cli_reference.py
"""

import inspect
from pathlib import Path

import typer

from icnet.cli import app

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"


def reference() -> str:
    """The whole page."""
    lines = ["# Command line", "", "Made by `tools/cli_reference.py`; change the commands, not this page.", ""]
    lines += [
        "Exit codes: 0 done; 1 some inputs failed, the report names them; 2 wrong usage or nothing done; 130 interrupted.",
        "",
    ]
    for name, command in _commands(typer.main.get_command(app)):
        lines += [f"## icnet {name}", "", inspect.cleandoc(command.help or ""), "", "| | |", "|---|---|"]
        for parameter in command.params:
            shown = ", ".join(f"`{option}`" for option in parameter.opts) if parameter.opts[0].startswith("-") else ""
            label = shown or f"`{parameter.metavar or parameter.name}`"
            lines.append(f"| {label} | {getattr(parameter, 'help', '') or ''}{_default(parameter)} |".replace("[MODEL]", "MODEL"))
        lines.append("")
    return "\n".join(lines)


def _commands(group, above: str = ""):
    """Every command with its name, those of a group after each other."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def _default(parameter) -> str:
    value = parameter.default
    if getattr(parameter, "is_flag", False) or callable(value) or isinstance(value, (list, tuple)):
        return ""
    return "" if value in (None, "", Ellipsis) or parameter.required else f" Default: `{getattr(value, 'value', value)}`."


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
