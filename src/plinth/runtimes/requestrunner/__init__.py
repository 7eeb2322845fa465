"""Send the requests of a file through the gateway, each until it has its answer.

It runs in a unit of its own and knows nothing of Plinth: every import here is relative or from the
standard library. Started as `python -m requestrunner --input FILE --folder DIR ...` with PYTHONPATH
set to the folder that holds this package.
"""
