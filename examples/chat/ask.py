"""Ask a chat model through the gateway: one answer word by word, then some questions at once.

The official `openai` client and nothing of Plinth: `model` is the endpoint's name.

    PLINTH_KEY=plk_... python ask.py --url http://127.0.0.1:8470/v1
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import openai

QUESTION = "What is the capital of Italy?"
QUESTIONS = (
    "What is the capital of France?",
    "What is the capital of Japan?",
    "Why is the sky blue?",
    "What is a computer?",
    "What is the largest planet?",
    "Write one sentence about the sea.",
)
SHOWN = 60


@dataclass(frozen=True)
class Answer:
    """A whole answer; the tokens are the server's own numbers, the times are seconds."""

    text: str
    tokens_in: int
    tokens_out: int
    first_s: float
    total_s: float


def main() -> int:
    """Return 0 when every question was answered."""
    arguments = parse_arguments()
    key = os.environ.get("PLINTH_KEY")
    if key is None:
        print("error: set PLINTH_KEY to a Plinth key", file=sys.stderr)
        return 2
    # Proxies of the environment are for other machines than this one.
    http = openai.DefaultHttpxClient(trust_env=False, timeout=120)
    with openai.OpenAI(base_url=arguments.url, api_key=key, http_client=http) as client:
        print(f"asking `{arguments.model}` at {arguments.url} with openai {openai.__version__}")
        print(f"  {QUESTION}\n    ", end="")
        answers = [ask(client, arguments.model, QUESTION, show=True)]
        print(f"\n    first word after {answers[0].first_s:.2f} s")
        answers += ask_at_once(client, arguments.model)
    total_in = sum(answer.tokens_in for answer in answers)
    total_out = sum(answer.tokens_out for answer in answers)
    print(f"{len(answers)} answers; tokens: {total_in} in, {total_out} out")
    return 0 if all(answer.text for answer in answers) else 1


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8470/v1", help="the gateway's /v1")
    parser.add_argument("--model", default="smollm2", help="the endpoint's name")
    return parser.parse_args()


def ask(client: openai.OpenAI, model: str, question: str, *, show: bool = False) -> Answer:
    """Read one answer as a stream; with `show`, print its words as they come."""
    began = time.perf_counter()
    first_s, words, usage = 0.0, [], None
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=48,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        usage = chunk.usage or usage
        word = (chunk.choices[0].delta.content or "") if chunk.choices else ""
        if word and not words:
            first_s = time.perf_counter() - began
        if word:
            words.append(word)
        if show:
            print(word, end="", flush=True)
    total_s = time.perf_counter() - began
    tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    return Answer("".join(words), *tokens, first_s, total_s)


def ask_at_once(client: openai.OpenAI, model: str) -> list[Answer]:
    """Ask all questions in parallel; print how each answer begins and how fast they came."""
    began = time.perf_counter()
    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        answers = list(pool.map(lambda question: ask(client, model, question), QUESTIONS))
    total_s = time.perf_counter() - began
    for question, answer in zip(QUESTIONS, answers, strict=True):
        print(f"  {question}\n    {beginning(answer.text)}")
    tokens = sum(answer.tokens_out for answer in answers)
    speed = f"{tokens} tokens in {total_s:.1f} s, {tokens / total_s:.0f} a second"
    print(f"{len(answers)} at once: {speed}")
    return answers


def beginning(text: str) -> str:
    """Return the first words of an answer, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[:SHOWN].rsplit(" ", 1)[0] + " ..."


if __name__ == "__main__":
    raise SystemExit(main())
