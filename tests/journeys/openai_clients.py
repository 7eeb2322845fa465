"""Ask a gateway with clients that other people wrote; run with their own environment's Python.

Arguments: the gateway's address, a key. Writes one JSON object with what each client got.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy
from langchain_openai import AzureChatOpenAI, ChatOpenAI, OpenAIEmbeddings
from tritonclient import http as triton


def _langchain(address: str, key: str) -> dict[str, Any]:
    chat = ChatOpenAI(model="chat", base_url=f"{address}/v1", api_key=key, max_retries=0)
    azure = AzureChatOpenAI(
        azure_deployment="chat",
        azure_endpoint=address,
        api_version="2024-10-21",
        api_key=key,
        max_retries=0,
    )
    embeddings = OpenAIEmbeddings(
        model="chat",
        base_url=f"{address}/v1",
        api_key=key,
        check_embedding_ctx_length=False,
    )
    answer = chat.invoke("hello")
    return {
        "chat": answer.content,
        "usage": answer.usage_metadata,
        "stream": [piece.content for piece in chat.stream("hello")],
        "azure": azure.invoke("hello").content,
        "azure_stream": [piece.content for piece in azure.stream("hello")],
        "embedding": embeddings.embed_query("hello"),
    }


def _triton(address: str, key: str) -> dict[str, Any]:
    client = triton.InferenceServerClient(address.removeprefix("http://"))
    headers = {"authorization": f"Bearer {key}"}
    given = triton.InferInput("x", [1, 2], "FP32")
    given.set_data_from_numpy(numpy.array([[1.0, 2.0]], dtype=numpy.float32), binary_data=False)
    wanted = triton.InferRequestedOutput("y", binary_data=False)
    answer = client.infer("sum", [given], outputs=[wanted], headers=headers)
    found = {
        "is_live": client.is_server_live(headers=headers),
        "is_ready": client.is_model_ready("sum", headers=headers),
        "metadata": client.get_model_metadata("sum", headers=headers),
        "y": answer.as_numpy("y").tolist(),
    }
    client.close()
    return found


def main() -> None:
    """Ask with every client."""
    address, key = sys.argv[1:]
    print(json.dumps({"langchain": _langchain(address, key), "triton": _triton(address, key)}))


main()
