"""Registers as a person would write them: one clocked block, conditions and all."""

from __future__ import annotations

import re
from collections import Counter

NAME = r"(?:\\\S+ |[A-Za-z_]\w*)"
TYPE = r"(?: signed)?(?: \[\d+:\d+\])?"
_NEXT = re.compile(rf"    (?P<reg>{NAME}) <= (?P<next>_\d+_);")
_NUMBERED = re.compile(r"\b_\d+_\b")
_DECLARED = re.compile(rf"  reg{TYPE} (_\d+_);")
_ASSIGN = re.compile(rf"\s+{NAME}(?:\[[\d:]+\])? <= .*;")


def fold_next_values(lines: list[str]) -> list[str]:
    """Move the `always @*` that works out a register's next value into its clocked block."""
    uses = Counter(_NUMBERED.findall("\n".join(lines)))
    blocks: dict[str, tuple[int, int]] = {}             # next value -> lines of its block
    declared: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        if (match := _DECLARED.fullmatch(line)) is not None:
            declared.setdefault(match[1], []).append(index)
        elif line == "  always @* begin":
            end = lines.index("  end", index)
            targets = {match[1] for inner in lines[index:end]
                       if (match := re.match(rf"\s+({NAME})(?:\[[\d:]+\])? = ", inner))}
            if len(targets) == 1 and re.fullmatch(r"_\d+_", name := targets.pop()):
                blocks[name] = (index, end)
    drop: set[int] = set()
    replaced: dict[int, list[str]] = {}
    for index, line in enumerate(lines):
        match = _NEXT.fullmatch(line)
        if match is None or match["next"] not in blocks:
            continue
        if not re.fullmatch(r"  always @\((?:pos|neg)edge [^,]*\)", lines[index - 1]):
            continue                                    # an asynchronous reset stays as it is
        start, end = blocks[match["next"]]
        body = lines[start + 2:end]                     # without `begin` and the trigger
        block = "\n".join(lines[start:end])
        # Outside its block, the next value may only be declared and clocked.
        if uses[match["next"]] != len(re.findall(rf"\b{match['next']}\b", block)) + 2:
            continue
        if body and body[0] == f"    {match['next']} = {match['reg'].strip()};":
            body = body[1:]                             # a register keeps its value by itself
        assign = re.compile(rf"^(\s+){match['next']}((?:\[[\d:]+\])?) = ")
        written = rf"\g<1>{_literal(match['reg'])}\g<2> <= "
        body = [assign.sub(written, inner) for inner in body]
        replaced[index - 1] = [lines[index - 1] + " begin", *body, "  end"]
        drop.update((index, *range(start, end + 1), *declared.get(match["next"], ())))
    return [new for index, line in enumerate(lines) if index not in drop
            for new in replaced.get(index, [line])]


def name_read_registers(lines: list[str]) -> list[str]:
    """Give a memory's read register the name of the wire that it drives."""
    text = "\n".join(lines)
    for match in re.finditer(rf"^  assign (?P<wire>{NAME}) = (?P<reg>_\d+_);$", text, re.M):
        wire, reg = match["wire"], match["reg"]
        declared = re.search(rf"^  reg(?P<type>{TYPE}) {reg};\n", text, re.M)
        plain = re.search(rf"^  wire(?P<type>{TYPE}) {re.escape(wire)};\n", text, re.M)
        if declared is None or plain is None:
            continue
        text = text.replace(match[0] + "\n", "").replace(declared[0], "")
        text = text.replace(plain[0], plain[0].replace("  wire", "  reg", 1))
        text = re.sub(rf"\b{reg}\b", _literal(wire), text)
    return text.split("\n")


def _literal(text: str) -> str:
    """`text` for use in a replacement: escaped identifiers begin with a backslash."""
    return text.replace("\\", r"\\")


def share_blocks(lines: list[str]) -> list[str]:
    """Put registers that are written under the same conditions into one clocked block."""
    first: dict[tuple[str, ...], list[list[str]]] = {}     # conditions -> lines at each place
    result: list[str | tuple[str, ...]] = []
    index = 0
    while index < len(lines):
        if not re.fullmatch(r"  always @\((?:pos|neg)edge \S+\) begin", lines[index]):
            result.append(lines[index])
            index += 1
            continue
        end = lines.index("  end", index)
        places: list[list[str]] = [[]]
        conditions: list[str] = [lines[index]]
        for line in lines[index + 1:end]:
            if _ASSIGN.fullmatch(line) and "[" not in line.split("<=")[0]:
                places[-1].append(line)
            else:
                conditions.append(line)
                places.append([])
        key = (*conditions, *(str(bool(place)) for place in places))
        if key in first:
            for old, new in zip(first[key], places, strict=True):
                old += new
        else:
            first[key] = places
            result.append(key)
        index = end + 1
    return [line for item in result
            for line in ([item] if isinstance(item, str) else _block(item, first[item]))]


def _block(key: tuple[str, ...], places: list[list[str]]) -> list[str]:
    lines: list[str] = []
    for condition, place in zip(key, places, strict=False):
        # Stable, so a register that is written twice is still written last what came last.
        place = sorted(place, key=_natural)
        if condition.endswith(":") and len(place) > 1:      # a case label takes one statement
            indent = " " * (len(condition) - len(condition.lstrip()) + 2)
            place = [f"{indent}begin", *place, f"{indent}end"]
        lines += [condition, *place]
    return [*lines, "  end"]


def _natural(line: str) -> list[str | int]:
    """Sorts `level_10` behind `level_9`."""
    name = line.split("<=")[0].strip()
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
