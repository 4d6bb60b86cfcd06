"""The generator: Amaranth in, one readable file of Verilog out (`python -m gen --help`)."""
