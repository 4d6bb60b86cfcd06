"""The flags of a configuration: one per field of `Config`, for every command that takes one."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from dataclasses import Field
from typing import Any, NoReturn

from gen import describe
from spinteger.config import PRESETS, Config, ConfigError, flag_of, parse_pe, preset, user_fields


class OneLineParser(argparse.ArgumentParser):
    """Raises `ConfigError` with one line, where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        missing = re.match(r"argument (\S+): expected one argument", message)
        switch = re.match(r"argument (\S+)/(\S+): ignored explicit argument '(.*)'", message)
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        if missing:
            flag = missing[1].split("/")[-1]
            raise ConfigError(f"{flag} (nothing): needs a value, as in {flag} {_example(flag)}")
        if switch:
            raise ConfigError(f"{switch[1]} {switch[3]}: takes no value, use {switch[1]} or "
                              f"{switch[2]}")
        if unknown and unknown[1].startswith("-"):
            raise ConfigError(f"{unknown[1]}: no such option{self._similar(unknown[1])}; "
                              f"{self.prog} --help lists them")
        if unknown:
            raise ConfigError(f"{unknown[1]}: options begin with --; "
                              f"{self.prog} --help lists them")
        raise ConfigError(message.removeprefix("argument "))

    def _similar(self, flag: str) -> str:
        known = [option for action in self._actions for option in action.option_strings]
        near = difflib.get_close_matches(flag.split("=")[0], known, 1)
        return f", did you mean {near[0]}?" if near else ""


def _example(flag: str) -> str:
    names = {"--pe": "16x16", "--preset": "tiny", "--name": describe.DEFAULT_NAME, "-o": "accel.v",
             "--output": "accel.v", "--json": "accel.json"}
    name = flag.lstrip("-").replace("-", "_")
    return names.get(flag) or str(getattr(Config(), name, "..."))


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """Add --preset, --pe and a flag per field. The parser should use RawTextHelpFormatter."""
    parser.add_argument("--preset", metavar="NAME", help="starting point for all other options:"
                        + "".join("\n" + textwrap.fill(f"{name}: {describe.options(cfg)}", 76,
                                                       subsequent_indent="  ",
                                                       break_on_hyphens=False)
                                  for name, cfg in PRESETS.items()))
    parser.add_argument("--pe", metavar="RxC", help="R spike lanes x C columns, 1x1 to 256x256"
                        "\ncosts: R x C adders; lanes wait for each other, so grow columns first")
    for field in user_fields():
        if field.metadata.get("flag", True):
            _add_field(parser, field)


def _add_field(parser: argparse.ArgumentParser, field: Field[Any]) -> None:
    meaning, cost = field.metadata["help"], field.metadata["cost"]
    text = "\n".join(textwrap.fill(line, 76) for line in (
        f"{meaning} (default: {field.default})", f"costs: {cost}")).replace("%", "%%")
    if isinstance(field.default, bool):
        parser.add_argument(flag_of(field.name), action=argparse.BooleanOptionalAction,
                            default=None, help=text)
    else:
        choices = field.metadata.get("choices")
        # Checked below, not by argparse: one line that says what would work.
        parser.add_argument(flag_of(field.name), dest=field.name, help=text,
                            metavar="|".join(choices) if choices else "N")


def config_from(args: argparse.Namespace, start: Config | None = None) -> Config:
    """The configuration that parsed flags ask for, from `start` (the default one) on unless a
    preset is named. Raises `ConfigError`."""
    base = preset(args.preset) if args.preset is not None else start or Config()
    changes: dict[str, Any] = {}
    if args.pe is not None:
        changes["rows"], changes["cols"] = parse_pe(args.pe)
    for field in user_fields():
        value = getattr(args, field.name, None)
        if value is None or not field.metadata.get("flag", True):
            continue
        if isinstance(field.default, int) and not isinstance(field.default, bool):
            if not re.fullmatch(r"[+-]?[0-9]{1,9}", value):
                flag = flag_of(field.name)
                raise ConfigError(f"{flag} {value}: must be a whole number, as in "
                                  f"{flag} {field.default}")
            value = int(value)
        changes[field.name] = value
    return base.with_(**changes)
