"""Gate-level energy: standard-cell mapping, simulation with cell delays, energy per toggle.

    library = cells.load("osu018")                      # Liberty
    netlist = mapping.map_design(verilog, "top", library)
    sim = simulate.Simulator(netlist, library)          # event-driven, glitches included
    ... set inputs, cycle ...
    energy.breakdown(sim)                               # pJ by block
"""
