"""The hybrid array in Amaranth. One component per file; every parameter comes from `Config`.

Data flows encoder -> lane -> column -> if_bank, with integer lanes beside the spike lanes;
`array.py` wires them together. docs/internals.md walks one token through.
"""
