"""The golden model: every integer the machine must produce, in PyTorch (docs/numerics.md).

Reading order: salient (the step) -> codes -> events -> integrate -> fire -> layer; wgt beside it,
and trains, how the machine stores a token. Whole language models: recipe, conversion (act_coder,
step_search, layer_grids, grid, gptq, rotation, hybrid_linear, hybrid_attention), calibration
(sensitivity, key_mean), models, perplexity, model_costs (model_energy), recipe_sets, evaluate. It
imports nothing from the hardware, so that it can judge it (but for the command of evaluate, which
asks the cycle model).
Re-exported here is what most users need; the list of events is `golden.events.events` (the name
here is the module's).
"""

from golden.codes import (
    CodeError,
    Codes,
    check_codes,
    check_wgt,
    encode,
    is_salient,
    is_silent,
    is_spike,
    recode,
    round_half_away,
    to_levels,
    value,
)
from golden.conversion import Report, convert
from golden.events import salient_list
from golden.fire import (
    ThresholdError,
    check_theta,
    fire_closed,
    fire_sar,
    fire_staircase,
    frac_bits_needed,
    multiply_shift,
    theta_from_multiplier,
    theta_from_scales,
)
from golden.integrate import buckets, integer_lanes, matmul, ramp, ramp_skipping, zero_point_psum
from golden.layer import HybridLayer, LayerResult
from golden.recipe import Recipe, RecipeError
from golden.salient import mad_cut, mad_step, static_step
from golden.wgt import quantise_wgt

__all__ = [
    "CodeError", "Codes", "HybridLayer", "LayerResult", "Recipe", "RecipeError", "Report",
    "ThresholdError", "buckets", "check_codes", "check_theta", "check_wgt", "convert", "encode",
    "fire_closed", "fire_sar", "fire_staircase", "frac_bits_needed", "integer_lanes", "is_salient",
    "is_silent", "is_spike", "mad_cut", "mad_step", "matmul", "multiply_shift", "quantise_wgt",
    "ramp", "ramp_skipping", "recode", "round_half_away", "salient_list", "static_step",
    "theta_from_multiplier", "theta_from_scales", "to_levels", "value", "zero_point_psum",
]
