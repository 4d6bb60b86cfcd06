"""The machine in Amaranth. One component per file; every parameter comes from `Config`.

Packets come in through the front end (`frontend.py`), tokens become spike trains (`encoder.py`,
`recorder.py`, `trains.py`), trains sums (`player.py`, `weight_bank.py`, `column_bank.py`, with
`integer_unit.py` beside them), sums become spikes again (`if_bank.py`). `array.py` wires the
computing part, `machine.py` all of it; docs/internals.md walks one token through.
"""
