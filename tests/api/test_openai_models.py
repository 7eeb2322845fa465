"""The endpoints that a caller may invoke are listed in the shape of OpenAI's models."""

from __future__ import annotations

from typing import Any

from plinth.domain.access import Role
from tests.api.service import OTHER, TEAM, Service

CHAT = {"url": "https://1.1.1.1/v1", "protocol": "openai"}


def openai_error(answer: Any) -> dict[str, Any]:
    """Return the error of an answer that has the shape of OpenAI's for an absent model."""
    assert answer.status_code == 404
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", "model")
    assert error["code"] == "model_not_found"
    return error


def test_what_one_may_invoke_is_listed(service: Service) -> None:
    service.plane.apply(name="chat", external=CHAT)
    service.plane.apply(name="azure", external={**CHAT, "protocol": "azure-openai"})
    service.plane.apply()
    answer = service.as_admin("GET", "/openai/models")
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == ["azure", "chat"]
    model = service.as_admin("GET", "/openai/models/chat")
    assert model == answer["data"][1]
    assert (model["object"], model["owned_by"]) == ("model", TEAM)
    assert isinstance(model["created"], int)


def test_others_see_neither_the_list_nor_one_of_them(service: Service) -> None:
    service.plane.apply(name="chat", external=CHAT)
    stranger = service.caller(Role.OPERATOR, OTHER)
    assert service.call(stranger, "GET", "/openai/models").json()["data"] == []
    answer = service.call(stranger, "GET", "/openai/models/chat")
    absent = openai_error(service.call(stranger, "GET", "/openai/models/none"))
    assert absent["message"] == openai_error(answer)["message"].replace("chat", "none")


def test_one_of_another_protocol_says_where_it_is_called(service: Service) -> None:
    service.plane.apply()
    answer = service.call(service.admin, "GET", "/openai/models/delay")
    assert "(hint: it is called at `/v2/models/delay`)" in openai_error(answer)["message"]


def test_what_was_stopped_is_no_model(service: Service) -> None:
    service.plane.apply(name="chat", external=CHAT)
    service.as_admin("POST", "/endpoints/chat/stop")
    assert service.as_admin("GET", "/openai/models")["data"] == []
    assert service.call(service.admin, "GET", "/openai/models/chat").status_code == 404
