"""Writes conditions where they are used, instead of one anonymous wire for every operator.

Only one-bit values move, and only to places that are one bit wide or decide by themselves how
wide they are: Verilog would extend anything else differently.
"""

from __future__ import annotations

import re
from collections import defaultdict

_LONGEST = 90
_TOKEN = re.compile(r"\b_\d+_\b")
_DECLARED = re.compile(r"^  (?:wire|reg)(?: signed)? (\w+)(?: = [^;]*)?;$", re.M)
_MEMORY = re.compile(r"^  reg(?: \[\d+:\d+\])? (\w+) \[", re.M)
_DEFINED = re.compile(r"  assign (\w+) = (.*);")
_OPERAND = r"(?:[a-zA-Z_]\w*(?:\[\d+\])?|1'h[01]|\([^()]*(?:\([^()]*\)[^()]*)*\))"
#: An operator of Yosys' that gives one bit: negation, reductions, comparisons, and, or.
_ONE_BIT = re.compile(r"(?:[!&|^]|~\^) .*|.* (?:==|!=|<|<=|>|>=|&&|\|\|) .*")
#: Operators that give one bit if their operands are.
_BITWISE = re.compile(rf"(?:~ )?(?P<a>{_OPERAND})(?: [&|^] (?P<b>{_OPERAND}))?")


def inline_conditions(lines: list[str]) -> list[str]:
    """Replace anonymous one-bit wires that are read once by what they are."""
    text = "\n".join(lines)
    one_bit = set(_DECLARED.findall(text)) - set(_MEMORY.findall(text))
    wide = set(_MEMORY.findall(text))
    lines = list(lines)
    places: dict[str, list[int]] = defaultdict(list)     # anonymous name -> lines, in order
    for index, line in enumerate(lines):
        for name in _TOKEN.findall(line):
            places[name].append(index)
    queue = [name for name in places if name in one_bit]
    for name in queue:
        if len(places[name]) != 3 or not lines[places[name][0]]:
            continue                                     # not declared, defined and read once
        declared, *rest = places[name]
        matches = {index: _DEFINED.fullmatch(lines[index]) for index in rest}
        defined = [index for index, match in matches.items() if match and match[1] == name]
        read = [index for index in rest if index not in defined]
        if len(defined) != 1 or len(read) != 1 or lines[declared] != f"  wire {name};":
            continue
        match = matches[defined[0]]
        assert match is not None
        value = match[2]
        if not _is_one_bit(value, one_bit, wide) or "[" in name:
            continue
        reader = _insert(lines[read[0]], name, value, one_bit, wide)
        if reader is None or len(reader) > _LONGEST:
            continue
        lines[read[0]] = reader
        lines[declared] = lines[defined[0]] = ""
        for other in _TOKEN.findall(value):
            places[other] = [read[0] if index == defined[0] else index for index in places[other]]
        queue += [name for name in _TOKEN.findall(reader) if name in one_bit]
    return [line for old, line in zip(text.split("\n"), lines, strict=True) if line or not old]


def _is_operand(text: str, one_bit: set[str], wide: set[str]) -> bool:
    """Whether an operand is one bit wide. Parentheses are written here only, around one bit."""
    if text.startswith("(") or text.startswith("1'h"):
        return True
    name, _, index = text.partition("[")
    return name not in wide if index else name in one_bit


def _is_one_bit(value: str, one_bit: set[str], wide: set[str]) -> bool:
    """Whether an expression is one bit wide by itself."""
    bitwise = _BITWISE.fullmatch(value)
    if bitwise is not None:
        return all(_is_operand(text, one_bit, wide) for text in (bitwise["a"], bitwise["b"])
                   if text is not None)
    return _ONE_BIT.fullmatch(value) is not None and "?" not in value


def _insert(line: str, name: str, value: str, one_bit: set[str], wide: set[str]) -> str | None:
    """`line` with `value` for `name`, or None where that could mean something else."""
    if re.fullmatch(rf"\s+(?:end else )?if \({name}\)(?: begin)?", line):
        return line.replace(name, value, 1)
    match = _DEFINED.fullmatch(line)
    if match is None:
        return None
    inner = value if re.fullmatch(r"\w+(?:\[\d+\])?", value) else f"({value})"
    target, expression = match[1], match[2]
    if expression == name:
        return f"  assign {target} = {value};" if target in one_bit else None
    if expression.startswith(f"{name} ? "):
        return line.replace(f"= {name} ?", f"= {inner} ?", 1)
    bitwise = _BITWISE.fullmatch(expression)
    if bitwise is not None and target in one_bit \
            and _is_one_bit(expression, one_bit, wide):
        return re.sub(rf"\b{name}\b", lambda _: inner, line)
    if expression == f"! {name}":
        return line.replace(f"! {name}", f"! {inner}")
    return None
