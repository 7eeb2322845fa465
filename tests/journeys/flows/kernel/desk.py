"""Semantic Kernel: a plugin of native functions, a template in its own format, and an agent.

The model is found by the variables that every flow has.
"""

from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


class Places:
    """What the model need not guess."""

    @kernel_function(description="Return the country of a city.")
    def country_of(self, city: str) -> str:
        """Raise KeyError for a city that is not known."""
        return {"Rome": "Italy"}[city]


kernel = Kernel()
model = OpenAIChatCompletion(ai_model_id="smollm2", async_client=AsyncOpenAI(max_retries=0))
kernel.add_service(model)
kernel.add_plugin(Places(), "places")
kernel.add_function(
    plugin_name="desk", function_name="ask", prompt="In {{places.country_of $city}}: {{$question}}"
)


async def score(request):
    """Answer a question about a city's country."""
    asked = await request.json()
    answer = await kernel.invoke(plugin_name="desk", function_name="ask", **asked)
    return JSONResponse({"answer": str(answer)})


async def handlebars(request):
    """Make a function of a template in Handlebars."""
    try:
        kernel.add_function(
            plugin_name="desk",
            function_name="other",
            prompt="{{question}}",
            template_format="handlebars",
        )
    except ImportError as err:
        return JSONResponse({"said": str(err)}, 501)
    return JSONResponse({})


app = Starlette(
    routes=[
        Route("/score", score, methods=["POST"]),
        Route("/handlebars", handlebars, methods=["POST"]),
    ]
)
clerk = ChatCompletionAgent(kernel=kernel, name="clerk", instructions="Answer in one word.")
