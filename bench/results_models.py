"""Section of docs/results.md: whole language models, from `golden.evaluate`."""

from __future__ import annotations

from bench.results_base import Json, paragraphs, plot, table
from golden.perplexity import percent

MODELS = """What models lose on integers, in perplexity on the opening of *Persuasion*, which
nothing was trained or calibrated on. *salient*, *by MAC* and *zeros* are shares of the inputs of
linear layers, by value and by the products that they take part in; *of Q, P*: salient shares in
attention, where it is on integers. *more*: ± the standard error of the mean of the windows' own
differences. Cycles are of linear layers one by one, 16 tokens at a time, loads and all, by the
cycle model, on a 16×16 machine with a 256-bit bus, and of attention in the middle of a window,
where a recipe has it; in brackets, over a dense array's, whose loads are not counted. The two
energies, in pJ per MAC of a dense model, are of the same products; they are two ways of counting
and do not compare ([golden/model_energy.py](../golden/model_energy.py)). What recipes mean:
[models.md](models.md). W8A8 is the usual one whatever it stands beside: weights of 8 bits, a scale
per channel, a step per token."""


GROUPS = """Weights as shipped are in groups of 32. Each group is a pass of its own, and of a pass
the sums leave the array one column a cycle: 16 cycles for 16 columns, in which its spikes are done
after two. Here the same weights are put on grids of our own by GPTQ, a second rounding of what was
4-bit already. A step per group, so the larger the group, the fewer cycles, the worse the weights
and the coarser the acts."""


def models(report: Json, drawn: str = "") -> str:
    """One evaluation; `drawn`: its plot, if it has one."""
    lines = report["recipes"]
    attention = any("salient_q" in one for one in lines)
    rows = []
    for one in lines:
        row = [one["recipe"], f"{one['ppl']:,.2f}", percent(one["more"], one["more_error"]),
               f"{one['bits_per_byte']:.3f}"]
        if "salient" in one:
            row += [f"{one['salient']:.1%}", f"{one['salient_by_mac']:.1%}", f"{one['zeros']:.1%}",
                    f"{one['cycles']:,.0f} ({one['cycles'] / one['cycles_dense']:.2f}×)"
                    if "cycles" in one else "", f"{one['energy_opcount']:.3f}",
                    f"{one['energy_movement']:.2f}"]
        row += [""] * (10 - len(row))
        if attention:
            hybrid = "salient_q" in one and one["settings"]["acts"] == "hybrid"
            row.append(f"{one['salient_q']:.1%}, {one['salient_p']:.1%}" if hybrid else "")
        rows.append(row)
    head = ["recipe", "perplexity", "more", "bits/byte", "salient", "by MAC", "zeros",
            "cycles per token", "op-count", "with movement"]
    if attention:
        head.append("of Q, P")
    return paragraphs(
        f"{report['tokens']:,} predicted tokens in windows of {report['length']}; unquantised is "
        f"{report['baseline']}.",
        table(head, rows),
        plot(drawn, "Perplexity against energy, with the recipes that no other beats")
        if drawn else "")
