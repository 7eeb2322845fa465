"""A LangGraph graph of two nodes; the model is found by the variables that every flow has."""

from typing import Annotated, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

MODEL = ChatOpenAI(model="smollm2", max_retries=0)


class State(TypedDict):
    messages: Annotated[list, add_messages]


async def check(state):
    """Refuse one question."""
    if "boom" in state["messages"][0].content:
        raise ValueError("boom was asked for")
    return {"messages": []}


async def ask(state):
    """Ask the model."""
    return {"messages": [await MODEL.ainvoke(state["messages"])]}


made = StateGraph(State)
made.add_node("check", check)
made.add_node("ask", ask)
made.add_edge(START, "check")
made.add_edge("check", "ask")
made.add_edge("ask", END)
graph = made.compile()
