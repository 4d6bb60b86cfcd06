"""Simulators, the words on the streams, and runners that bring both together.

`python -m sim` runs every bench and every real layer; `python -m sim.demo` runs one layer.
"""
