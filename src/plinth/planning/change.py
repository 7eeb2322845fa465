"""Changes to a file, or to what is owned: read from what a person writes, checked, and made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from plinth.domain.application import DECLARATIONS, Application, Declaration
from plinth.domain.document import read_document, to_value
from plinth.domain.inventory import Inventory, Owned
from plinth.domain.mistake import describe, nearest_name, nested_fields
from plinth.domain.plan import Change
from plinth.domain.workload import Endpoint, EndpointDeployment
from plinth.kit.errors import Invalid
from plinth.planning.context import Context

_DECLARATION: TypeAdapter[Declaration] = TypeAdapter(
    Annotated[Declaration, Field(discriminator="kind")]
)


def change_declaration(declaration: Declaration, changes: Iterable[Change]) -> Declaration:
    """Return what the file declares with each value in its field; those of the inventory are left.

    Raises Invalid for a field that there is not, and for a value that is not accepted there.
    """
    # What the file does not say is left out: a part inherits what it does not say itself.
    fields = declaration.model_dump(mode="json", exclude_unset=True)
    whole = declaration.model_dump(mode="json")
    made = [change for change in changes if not change.of_inventory]
    for change in made:
        *parents, last = change.field.split(".")
        target, known = fields, whole
        for parent in parents:
            inner = known.get(parent)
            if not isinstance(inner, dict):
                raise _no_field(declaration, change.field)
            if not isinstance(target.get(parent), dict):
                target[parent] = {} if target.get(parent) is None else dict(inner)
            target, known = target[parent], inner
        target[last] = change.value
    try:
        return _DECLARATION.validate_python({**fields, "kind": declaration.kind})
    except ValidationError as err:
        raise _refused(declaration, made, err) from err


def change_context(context: Context, changes: Iterable[Change]) -> Context:
    """Return the context with what the changes add to the inventory.

    Raises Invalid where one says what cannot be owned.
    """
    added = []
    for change in changes:
        if not change.of_inventory:
            continue
        facts = change.value if isinstance(change.value, dict) else {}
        fields = {"name": change.field, "platform": change.field, **facts}
        try:
            added.append(Owned.model_validate(fields))
        except ValidationError as err:
            raise Invalid(f"`{change}` cannot be owned: {err.errors()[0]['msg']}") from err
    if not added:
        return context
    owned = (*context.inventory.owned, *added)
    return context.model_copy(update={"inventory": Inventory(owned=owned)})


def read_change(declaration: Declaration, text: str) -> Change:
    """Read `FIELD=VALUE`, the value as in a file; a list may be written as `a,b`.

    Raises Invalid naming what is accepted.
    """
    name, equals, written = text.partition("=")
    if not equals:
        raise Invalid(f"`{text}` is no change", hint="write `FIELD=VALUE`, like `cpu=2`")
    field = find_field(declaration, name.strip())
    document = read_document(f"value: {written}")
    value = to_value(document.root) if document.root and not document.problems else None
    if not isinstance(value, dict) or set(value) != {"value"}:
        raise Invalid(f"`{written}` cannot be read", hint="write a value as it stands in a file")
    now: Any = declaration.model_dump(mode="json")
    for part in field.split("."):
        now = now.get(part) if isinstance(now, dict) else None
    read: Any = value["value"]
    if isinstance(now, list) and isinstance(read, str):
        read = [each.strip() for each in read.split(",") if each.strip()]
    return Change(field=field, value=read)


def find_field(declaration: Declaration, name: str) -> str:
    """Return the path to the field that `name` means: a path, or its last part where that is one.

    What an application says for all of its parts comes before what one part says. Raises Invalid
    naming the nearest field.
    """
    paths = field_paths(declaration)
    if name in paths:
        return name
    ending = [path for path in paths if path.endswith(f".{name}")]
    for before in ("requirements.", "resources."):
        if f"{before}{name}" in ending:
            return f"{before}{name}"
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise Invalid(
            f"`{name}` may be {' or '.join(f'`{path}`' for path in ending)}",
            hint="write the whole path",
        )
    raise _no_field(declaration, name)


def field_paths(declaration: Declaration) -> tuple[str, ...]:
    """Return the path to every field that the file may have, but for its kind.

    Of an application those of the parts and the data that it has, of an endpoint those of the
    deployments.
    """
    model: type[BaseModel] = type(declaration)
    names = [name for name in model.model_fields if name != "kind"]
    paths = [*names, *nested_fields(model)]
    if isinstance(declaration, Application):
        absent = {name for name in names if getattr(declaration, name) is None}
        paths = [path for path in paths if "." not in path or path.split(".")[0] not in absent]
        for name, data in declaration.data.items():
            paths += [f"data.{name}.{field}" for field in type(data).model_fields]
    if isinstance(declaration, Endpoint):
        own = [*EndpointDeployment.model_fields, *nested_fields(EndpointDeployment)]
        paths += [
            f"deployments.{name}.{field}" for name in declaration.deployments for field in own
        ]
    return tuple(paths)


def kept_by_parts(declaration: Declaration, changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the fields of parts that a change for all parts does not reach.

    A part that says a requirement itself keeps what it says.
    """
    if not isinstance(declaration, Application):
        return ()
    found = []
    for change in changes:
        shared, _, name = change.field.partition("requirements.")
        if shared or not name:
            continue
        for part, said in declaration.parts.items():
            if name.partition(".")[0] in said.requirements.model_fields_set:
                found.append(f"{part}.{change.field}")
    return tuple(found)


def _no_field(declaration: Declaration, name: str) -> Invalid:
    paths = field_paths(declaration)
    near = nearest_name(name, paths) or nearest_name(name, [p.rpartition(".")[2] for p in paths])
    return Invalid(
        f"`{name}`: kind `{declaration.kind}` has no such field"
        + (f"; did you mean `{near}`?" if near else ""),
        hint="docs/reference/workload.md describes every field",
    )


def _refused(declaration: Declaration, changes: Iterable[Change], err: ValidationError) -> Invalid:
    error = err.errors()[0]
    # The first part of the place is the kind, which the union puts there.
    error["loc"] = error["loc"][1:] if error["loc"][:1] == (declaration.kind,) else error["loc"]
    place = ".".join(str(part) for part in error["loc"])
    words = describe(error, DECLARATIONS[declaration.kind], None)
    accepted = f"; accepted: {', '.join(words.accepted)}" if words.accepted else ""
    tried = ", ".join(f"`{change}`" for change in changes)
    return Invalid(
        f"{place + ': ' if place else ''}{words.message}{accepted}",
        hint=f"it came of {tried}; docs/reference/workload.md describes every field",
    )
