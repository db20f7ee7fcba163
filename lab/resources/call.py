"""Kinds that one API call makes: a table row each.

A change of `Tags` alone is recorded and not sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.resources.argument import tag_argument
from lab.resources.kind import Kind, Made, Properties, Request


@dataclass(frozen=True, kw_only=True)
class OneCall:
    """A kind that one call makes.

    The forms (`physical_id`, `attributes`, `update_by`, `delete_by`) are format strings over `answer` (of the create
    call), `given` (its arguments), `id`, `region` and `account`; those of update and delete over `id`, `given` and
    `attributes`.
    """

    type: str
    service: str
    create: str
    properties: str
    """Names, separated by blanks. They are the arguments of the call, but for those in `rename`."""
    physical_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    """The property that gets a name of its own when the template gives none."""
    name_limit: int = 64
    rename: Mapping[str, str] = field(default_factory=dict)
    tags: str = ""
    """How the call takes Tags: see `tag_argument`. Empty: this kind has none."""
    update: str = ""
    """The call that makes a change in place; when it is the create call, it is repeated as a whole."""
    update_by: Mapping[str, str] = field(default_factory=dict)
    fixed: str = ""
    delete: str = ""
    """Empty: it goes with what it belongs to."""
    delete_by: Mapping[str, str] = field(default_factory=dict)
    harmless: Mapping[str, str] = field(default_factory=dict)
    holds_data: bool = False

    @property
    def kind(self) -> Kind:
        return Kind(
            type=self.type,
            properties=frozenset([*self.properties.split(), *(["Tags"] if self.tags else [])]),
            create=self._create,
            update=self._update if self.update else None,
            delete=self._delete,
            fixed=frozenset(self.fixed.split()),
            attributes=frozenset(self.attributes),
            harmless=self.harmless,
            holds_data=self.holds_data,
        )

    def _create(self, request: Request) -> Made:
        properties = dict(request.properties)
        if self.name and self.name not in properties:
            properties[self.name] = request.name(self.name_limit)
        return self._send(request, properties)

    def _send(self, request: Request, properties: Properties) -> Made:
        given = self._renamed(properties)
        if "Tags" in given:
            given |= tag_argument(self.tags, given.pop("Tags"))
        answer = request.call(self.service, self.create, **given)
        values = {"answer": answer, "given": given, "region": request.place.region, "account": request.place.account}
        values["id"] = self.physical_id.format_map(values)
        return Made(values["id"], {key: form.format_map(values) for key, form in self.attributes.items()})

    def _update(self, request: Request, made: Made, changed: frozenset[str]) -> Made:
        if self.update == self.create:
            own_name = {self.name: made.physical_id} if self.name else {}
            return self._send(request, own_name | request.properties)
        wanted = {key: request.properties.get(key) for key in changed - {"Tags"}}
        if wanted:
            by = self._filled(self.update_by, request, made)
            request.call(self.service, self.update, **by, **self._renamed(wanted))
        return made

    def _delete(self, request: Request, made: Made) -> None:
        if self.delete:
            request.call(self.service, self.delete, **self._filled(self.delete_by, request, made))

    def _renamed(self, properties: Properties) -> Properties:
        return {self.rename.get(key, key): value for key, value in properties.items()}

    @staticmethod
    def _filled(forms: Mapping[str, str], request: Request, made: Made) -> dict[str, Any]:
        values = {"id": made.physical_id, "given": request.properties, "attributes": made.attributes}
        return {key: form.format_map(values) for key, form in forms.items()}
