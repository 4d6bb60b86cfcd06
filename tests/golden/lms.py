"""Small random language models for tests, of both architectures."""

from typing import Any

import torch


def opt(seed: int = 0, **changes: Any) -> Any:
    """OPT-style: ReLU, biases."""
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(seed)
    return OPTForCausalLM(OPTConfig(**{
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 64,
        "word_embed_proj_dim": 32, "vocab_size": 50, "max_position_embeddings": 32,
        "activation_function": "relu", "dropout": 0.0, **changes})).eval()


def llama(seed: int = 0, **changes: Any) -> Any:
    """Llama-style: grouped queries, SiLU."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**{
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 64, "vocab_size": 50,
        "max_position_embeddings": 32, **changes})).eval()
