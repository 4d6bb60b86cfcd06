"""Lays out the Verilog that Yosys writes the way a person would.

Yosys gives every register a next-state signal with an `always @*` block of its own, declares
ports twice and lists a memory's initial words one by one. All changes here are to the text only;
anything of an unexpected shape is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gen.inline import inline_conditions
from gen.registers import NAME, TYPE, fold_next_values, name_read_registers, share_blocks

_PORT = re.compile(rf"  (?P<dir>input|output|inout)(?P<type>{TYPE}) (?P<name>{NAME});")
_TRIGGER = re.compile(r"  reg (?P<name>\\\S+)  = 0;")
_WORD = re.compile(rf"    (?P<mem>{NAME})\[(?P<index>\d+)\] = (?P<value>\d+'h\w+);")
_CONSTANT = re.compile(rf"^  always @\*\n(    {NAME}(?:\[[\d:]+\])? = \d+'h\w+;)$", re.M)
#: A change at time 0 wakes every `always @*`; without one Icarus leaves X until an input moves.
_KICK = """  // Simulators run an `always @*` only when an input changes: this one does, at time 0.
  reg {name} = 1'b0;
`ifndef SYNTHESIS
`ifndef VERILATOR
  initial #0 {name} = 1'b1;
`endif
`endif"""


def comment(lines: Sequence[str]) -> str:
    """A leading comment; empty without lines."""
    return "".join(f"// {line}".rstrip() + "\n" for line in lines) + ("\n" if lines else "")


def tidy(text: str, notes: Mapping[str, str] | None = None) -> str:
    """The same Verilog, laid out; `notes` are comments for the ports of the first module."""
    modules = re.findall(r"^(?:\(\*.*\*\)\n)*module .*?^endmodule\n", text, re.M | re.S)
    return "\n".join(_module(module, notes or {} if index == 0 else {})
                     for index, module in enumerate(modules))


def _module(text: str, notes: Mapping[str, str]) -> str:
    lines = _memory_words(_cases(_replications(text).splitlines()))
    lines = share_blocks(inline_conditions(name_read_registers(fold_next_values(lines))))
    return "\n".join(_time_zero(_ports(lines, notes))) + "\n"


def _ports(lines: list[str], notes: Mapping[str, str]) -> list[str]:
    """Declare ports in the module header, one to a line."""
    start = next(index for index, line in enumerate(lines) if line.startswith("module "))
    end = next(index for index in range(start, len(lines)) if lines[index].endswith(");"))
    head, _, names = " ".join(lines[start:end + 1]).partition("(")
    order = [name.strip() for name in names.rstrip(");").split(",") if name.strip()]
    ports: dict[str, str] = {}
    rest: list[str] = []
    body = iter(lines[end + 1:])
    for line in body:
        match = _PORT.fullmatch(line)
        if match is None:
            rest.append(line)
            continue
        attrs = ""
        while rest and re.fullmatch(r"  \(\*.*\*\)", rest[-1]):
            attrs = rest.pop().strip() + " " + attrs
        declared = next(body).strip().rstrip(";")       # wire or reg, with an initial value
        ports[match["name"].strip()] = f"{attrs}{match['dir']} {declared}"
    if sorted(order) != sorted(ports):
        return lines
    listed = [f"  {ports[name]}{',' if name != order[-1] else ''}"
              + (f"  // {notes[name]}" if name in notes else "") for name in order]
    return [*lines[:start], f"{head} (" if listed else f"{head};", *listed,
            *([");"] if listed else []), *rest]


def _memory_words(lines: list[str]) -> list[str]:
    """Write initial memory words that are all the same as a loop."""
    result: list[str] = []
    index = 0
    while index < len(lines):
        end = index + 1
        words: list[re.Match[str]] = []
        if lines[index] == "  initial begin":
            while (word := _WORD.fullmatch(lines[end])) is not None:
                words.append(word)
                end += 1
        if len(words) > 2 and lines[end] == "  end" and len({word["value"] for word in words}) == 1:
            mem, value = words[0]["mem"].strip(), words[0]["value"]
            loop = re.sub(r"\W", "", mem) + "__i"
            text = [f"  integer {loop};", "  initial",
                    f"    for ({loop} = 0; {loop} < {len(words)}; {loop} = {loop} + 1)",
                    f"      {words[0]['mem']}[{loop}] = {value};"]
            if not int(value.partition("'h")[2], 16):
                # Nothing relies on it but a simulator's X; Yosys would take it word by word.
                text = ["`ifndef SYNTHESIS", *text, "`endif"]
            result += text
            index = end + 1
        else:
            result.append(lines[index])
            index += 1
    return result


def _cases(lines: list[str]) -> list[str]:
    """`case` where no pattern has a don't-care; a `default` where all patterns are covered."""
    result = list(lines)
    for index, line in enumerate(lines):
        match = re.fullmatch(r"(\s+)casez (\(.*\))", line)
        if match is None:
            continue
        indent = match[1]
        end = next(i for i in range(index, len(lines)) if lines[i] == f"{indent}endcase")
        labels = [i for i in range(index, end) if re.match(rf"{indent}  \S.*:$", lines[i])]
        if not any("?" in lines[i] for i in labels):
            result[index] = f"{indent}case {match[2]}"
        if "full_case" in lines[index - 1]:
            result[index - 1] = ""
            result[labels[-1]] = f"{indent}  default:"
        elif not any(lines[i].strip() == "default:" for i in labels):
            result[end] = f"{indent}  default: ;\n{lines[end]}"
    return "\n".join(new for old, new in zip(lines, result, strict=True)
                     if new or not old).split("\n")


def _time_zero(lines: list[str]) -> list[str]:
    """Name the signal that wakes `always @*` blocks, and make it change at time 0."""
    found = next((match for line in lines if (match := _TRIGGER.fullmatch(line))), None)
    if found is None:
        return lines
    text = "\n".join(lines)
    if "always @*" not in text:
        return [line for line in lines if line != found[0]]
    name = "time_zero"
    while re.search(rf"\b{name}\b", text):
        name += "_"
    text = text.replace(found[0], _KICK.format(name=name))
    # Constant bits of a signal whose other bits are not: nothing would ever wake these.
    text = _CONSTANT.sub(rf"  always @* begin\n    if ({name}) begin end\n\1\n  end", text)
    return text.replace(f"({found['name']} )", f"({name})").split("\n")


def _replications(text: str) -> str:
    """`{ a, a, a, b }` -> `{ {3{a}}, b }`."""
    def repeat(match: re.Match[str]) -> str:
        item = match[1]
        return f"{{{(len(match[0]) + 2) // (len(item) + 2)}{{{item}}}}}"

    text = re.sub(r"(?<=[{,] )(\w+(?:\[\d+(?::\d+)?\])?)(?:, \1){2,}(?=,| \})", repeat, text)
    return re.sub(r"\{ (\{\d+\{[^{}]*\}\}) \}", r"\1", text)
