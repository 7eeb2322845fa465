"""The endpoints that a caller may invoke are listed in the shape of OpenAI's models."""

from __future__ import annotations

from plinth.domain.access import Role
from tests.api.service import OTHER, TEAM, Service, error_of

CHAT = {"url": "https://1.1.1.1/v1", "protocol": "openai"}


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
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "model_not_found"
    absent = error_of(service.call(stranger, "GET", "/openai/models/none"))
    assert absent["message"] == error_of(answer)["message"].replace("chat", "none")


def test_one_of_another_protocol_says_where_it_is_called(service: Service) -> None:
    service.plane.apply()
    answer = service.call(service.admin, "GET", "/openai/models/delay")
    assert answer.status_code == 404
    assert "/v2/models/delay" in error_of(answer)["hint"]


def test_what_was_stopped_is_no_model(service: Service) -> None:
    service.plane.apply(name="chat", external=CHAT)
    service.as_admin("POST", "/endpoints/chat/stop")
    assert service.as_admin("GET", "/openai/models")["data"] == []
    assert service.call(service.admin, "GET", "/openai/models/chat").status_code == 404
