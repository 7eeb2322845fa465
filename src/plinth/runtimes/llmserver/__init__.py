"""Our own thin OpenAI-compatible server for GGUF models on the CPU, around openvino-genai.

It runs inside the *runtime's* environment, which knows nothing of Plinth: every import here is
relative, from the standard library, or one of numpy, openvino, openvino_genai and uvicorn.
Started as `python -m llmserver --model DIR --name NAME --version V --fd 3` with PYTHONPATH set to
the folder that holds this package (`__main__` takes that folder off the path again).
"""
