"""Text to token ids with the vocabulary and merges that a GGUF file carries.

Byte-level BPE as in GPT-2; the file's `tokenizer.ggml.pre` says how text is cut into words
first. Supported: 'smollm' (every digit stands alone, then GPT-2's word pattern) and 'gpt-2'
(the word pattern only). Another one is refused rather than tokenised wrongly.

Like the model this serves, no begin-of-text token is added unless the metadata ask for it.
"""

from __future__ import annotations

from pathlib import Path

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

#: `token_type` of control tokens such as <|im_start|> (llama.cpp, LLAMA_TOKEN_TYPE_CONTROL).
CONTROL = 3


def load_tokenizer(source: str | Path | gguf.GGUFReader) -> GgufTokenizer:
    """The tokenizer of a GGUF file, given its path or an open reader of it."""
    return GgufTokenizer(source if isinstance(source, gguf.GGUFReader)
                         else gguf.GGUFReader(source))


class GgufTokenizer:
    """`encode` text to ids and `decode` ids to text; both are exact inverses on any text.

    Raises `ValueError` for a tokenizer model or pre-tokenizer it does not know.
    """

    def __init__(self, reader: gguf.GGUFReader) -> None:
        def meta(key: str, default: object = None) -> object:
            field = reader.get_field(f"tokenizer.ggml.{key}")
            return default if field is None else field.contents()

        model, pre = meta("model"), meta("pre", "gpt-2")
        if model != "gpt2" or pre not in ("smollm", "gpt-2"):
            raise ValueError(f"tokenizer model {model!r} with pre-tokenizer {pre!r}: only 'gpt2' "
                             "with 'smollm' or 'gpt-2' is supported")
        tokens, merges, types = meta("tokens"), meta("merges"), meta("token_type")
        assert isinstance(tokens, list) and isinstance(merges, list) and isinstance(types, list)
        pairs = [(left, right) for left, right in (m.split(" ") for m in merges)]
        self._bpe = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, pairs))
        words = pre_tokenizers.ByteLevel(add_prefix_space=bool(meta("add_space_prefix", False)))
        steps = [words] if pre == "gpt-2" else [pre_tokenizers.Digits(individual_digits=True),
                                                words]
        self._bpe.pre_tokenizer = pre_tokenizers.Sequence(steps)
        self._bpe.decoder = decoders.ByteLevel()
        self._bpe.add_special_tokens([AddedToken(t, special=True, normalized=False)
                                      for t, kind in zip(tokens, types, strict=True)
                                      if kind == CONTROL])
        bos = meta("bos_token_id")
        self.bos = int(bos) if isinstance(bos, int) and meta("add_bos_token", False) else None
        self.size = len(tokens)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; control tokens written out, such as <|im_end|>, are one id."""
        ids = self._bpe.encode(text, add_special_tokens=False).ids
        return ids if self.bos is None else [self.bos, *ids]

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`, control tokens included."""
        return self._bpe.decode(ids, skip_special_tokens=False)

    def token(self, index: int) -> str:
        """Token `index` as the vocabulary writes it ('Ġthe' for ' the'). `KeyError` if none."""
        text = self._bpe.id_to_token(index)
        if text is None:
            raise KeyError(f"no token {index}: the vocabulary has {self.size}")
        return text
