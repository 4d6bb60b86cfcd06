"""Spinteger: a spike-integer hybrid accelerator for quantised language models."""

__version__ = "0.1.0"
