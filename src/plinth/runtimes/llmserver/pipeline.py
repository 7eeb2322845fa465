"""A GGUF file as an openvino-genai pipeline.

Imports openvino, which takes a second: `__main__` loads this module by name while the server
already answers health checks. What is set here was measured (docs/decisions/0027).
"""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Importing openvino starts its telemetry; with no such module it takes its own silent stand-in.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402
import openvino_genai as genai  # noqa: E402

from .engine import Read  # noqa: E402
from .errors import NotServable, Refused  # noqa: E402
from .gguf import read_header  # noqa: E402
from .request import Request, Sampling  # noqa: E402
from .source import find_gguf  # noqa: E402

_BLOCK_TOKENS = 32
# Tokens in one step: a long prompt is read in such parts, so that others go on meanwhile.
_STEP_TOKENS = 128
# Compiled kernels that are kept, one for each shape of a batch. With the default, 5,000, memory
# grows by 0.6 MB a request for thousands of requests.
_KEPT_KERNELS = 256


@dataclass(frozen=True)
class Sizes:
    """What bounds the memory. `context_tokens`: prompt and answer of one request together.

    `cache_tokens`: of all requests that run; where they need more, some are computed again.
    """

    context_tokens: int = 8192
    cache_tokens: int = 16384
    running: int = 8
    threads: int = 0


class GgufPipeline:
    """See `Pipeline` in engine. Raises NotServable when the file is none that it can run."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        path = find_gguf(folder)
        header = read_header(path)
        self.context_tokens = min(
            header.context_tokens or sizes.context_tokens, sizes.context_tokens
        )
        self._has_template = header.has_chat_template
        scheduler = _scheduler(sizes, self.context_tokens)
        try:
            with _writable(path) as copy:
                self._pipeline = genai.ContinuousBatchingPipeline(
                    str(copy), scheduler, "CPU", _properties(sizes)
                )
        except RuntimeError as err:
            # The library's message begins with a place in its source; its last line says what.
            reason = str(err).strip().splitlines()[-1:]
            raise NotServable(
                f"openvino-genai cannot run `{path.name}` "
                f"(architecture `{header.architecture}`): {''.join(reason)}"
            ) from err
        self._tokenizer = self._pipeline.get_tokenizer()
        self._next_id = 0
        self._warm_up()

    def tokenise(self, request: Request) -> Any:
        """Return the tokens of the prompt as an array. Raises Refused."""
        text = self._conversation(request) if request.is_chat else request.prompt
        # Without a length of ours it would cut the text to the model's context, in silence.
        longest = self.context_tokens + 1
        encoded = self._tokenizer.encode(text, add_special_tokens=False, max_length=longest)
        tokens = np.array(encoded.input_ids.data)[0]
        if len(tokens) >= self.context_tokens:
            raise Refused(
                f"the prompt has {self.context_tokens} tokens or more; this model's context has "
                f"{self.context_tokens}, for the prompt and the answer together",
                code="context_length_exceeded",
                param="messages" if request.is_chat else "prompt",
            )
        return tokens

    def start(self, tokens: Any, sampling: Sampling) -> Any:
        """Begin a sequence. Raises Refused for what the library does not take."""
        room = self.context_tokens - len(tokens)
        self._next_id += 1
        try:
            return self._pipeline.add_request(
                self._next_id, ov.Tensor(tokens[np.newaxis, :]), _configuration(sampling, room)
            )
        except RuntimeError as err:
            raise Refused(f"the model does not take this request: {err}") from err

    def step(self) -> None:
        """Compute the next token of every sequence; holds the global lock."""
        self._pipeline.step()

    def read(self, sequence: Any) -> Read:
        """Return what is new of a sequence."""
        tokens: list[int] = []
        reason = None
        while sequence.can_read():
            for output in sequence.read().values():
                tokens.extend(output.generated_ids)
                reason = output.finish_reason
        status = sequence.get_status()
        if status == genai.GenerationStatus.RUNNING:
            return Read(tokens, None)
        if status == genai.GenerationStatus.IGNORED:
            return Read(tokens, "failed: the cache has no room for it")
        is_full = reason == genai.GenerationFinishReason.LENGTH
        return Read(tokens, "length" if is_full else "stop")

    def cancel(self, sequence: Any) -> None:
        """End a sequence; its place in the cache is free at the next step."""
        sequence.cancel()

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the tokens as text."""
        return str(self._tokenizer.decode(list(tokens)))

    def _conversation(self, request: Request) -> str:
        if not self._has_template:
            raise Refused(
                "this model has no chat template; ask it at /v1/completions",
                code="unsupported_parameter",
                param="messages",
            )
        messages = [dict(message) for message in request.messages]
        try:
            return str(self._tokenizer.apply_chat_template(messages, add_generation_prompt=True))
        except RuntimeError as err:
            raise Refused(
                f"the model's chat template refuses the messages: {err}", param="messages"
            ) from err

    def _warm_up(self) -> None:
        """Compute once: the first call compiles, which takes half a second."""
        text = "Hello"
        tokens = np.array(self._tokenizer.encode(text, add_special_tokens=False).input_ids.data)[0]
        sequence = self.start(tokens, Sampling(max_tokens=2, temperature=0.0))
        while self.read(sequence).ended is None:
            self.step()


@contextmanager
def _writable(path: Path) -> Iterator[Path]:
    """Give a copy of the file for a block: the library opens it for writing, and a confined server
    may not write to a model.
    """
    folder = Path(tempfile.gettempdir()) / "llmserver-gguf"
    # What a server that was killed while it loaded has left.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield Path(shutil.copyfile(path, folder / path.name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scheduler(sizes: Sizes, context_tokens: int) -> Any:
    settings = genai.SchedulerConfig()
    settings.max_num_seqs = sizes.running
    settings.max_num_batched_tokens = _STEP_TOKENS
    # One request must always fit, else it is ignored.
    tokens = max(sizes.cache_tokens, context_tokens + 2 * _BLOCK_TOKENS)
    settings.num_kv_blocks = -(-tokens // _BLOCK_TOKENS)
    # The next turn of a conversation begins with all the turns before it.
    settings.enable_prefix_caching = True
    return settings


def _properties(sizes: Sizes) -> dict[str, Any]:
    properties: dict[str, Any] = {"CPU_RUNTIME_CACHE_CAPACITY": _KEPT_KERNELS}
    if sizes.threads:
        properties["INFERENCE_NUM_THREADS"] = sizes.threads
    return properties


def _configuration(sampling: Sampling, room: int) -> Any:
    settings = genai.GenerationConfig()
    # The text has gone through the template already.
    settings.apply_chat_template = False
    settings.max_new_tokens = min(sampling.max_tokens or room, room)
    settings.frequency_penalty = sampling.frequency_penalty
    settings.presence_penalty = sampling.presence_penalty
    if sampling.temperature > 0:
        settings.do_sample = True
        settings.temperature = sampling.temperature
        # 0 is not taken by the library; it means the same as next to nothing.
        settings.top_p = sampling.top_p or 1e-9
        # The library's own default is 0 for every request: all would draw the same numbers.
        settings.rng_seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
    return settings
