"""Ask a chat model many questions at once by OpenAI's Batch API, and print what came back.

The official `openai` client and nothing of Plinth: `model` is the endpoint's name. The key's role
is `contributor` on its team.

    PLINTH_KEY=plk_... python many.py --url http://127.0.0.1:8470/v1
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time

import openai
from openai.types import Batch

ENDPOINT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")
PLACES = ("France", "Japan", "Italy", "Peru", "Egypt", "Kenya", "Norway", "India")
SHOWN = 60


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
        return ask_many(client, arguments.model)


def ask_many(client: openai.OpenAI, model: str) -> int:
    """Send a question about each place as one batch; return 0 when all were answered."""
    file = client.files.create(file=("questions.jsonl", questions(model)), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    print(f"batch {batch.id} of {len(PLACES)} questions")
    batch = wait(client, batch)
    if batch.status != "completed" or batch.output_file_id is None:
        print(f"error: {batch.status}: {batch.errors}", file=sys.stderr)
        return 1
    answers = [
        json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()
    ]
    # Answers come in the order in which they were given: `custom_id` says which is which.
    for answer in sorted(answers, key=lambda answer: answer["custom_id"]):
        said = answer["response"]["body"]["choices"][0]["message"]["content"]
        print(f"  {answer['custom_id']:<8} {' '.join(said.split())[:SHOWN]}")
    tokens = batch.usage
    if tokens is not None:
        print(f"tokens: {tokens.input_tokens} in, {tokens.output_tokens} out")
    return 0 if len(answers) == len(PLACES) else 1


def questions(model: str) -> io.BytesIO:
    """Return the lines of the batch's input."""
    lines = []
    for place in PLACES:
        question = {"role": "user", "content": f"What is the capital of {place}?"}
        body = {"model": model, "messages": [question], "max_tokens": 24}
        line = {"custom_id": place, "method": "POST", "url": ENDPOINT, "body": body}
        lines.append(json.dumps(line))
    return io.BytesIO("\n".join(lines).encode())


def wait(client: openai.OpenAI, batch: Batch) -> Batch:
    """Return the batch when it has ended."""
    while batch.status not in ENDED:
        time.sleep(0.5)
        batch = client.batches.retrieve(batch.id)
    return batch


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8470/v1", help="the gateway")
    parser.add_argument("--model", default="smollm2", help="the endpoint")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
