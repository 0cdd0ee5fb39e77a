"""What may stand in an address: a row's id that fits the database's column, a stage's name."""

from __future__ import annotations

from django.urls import converters, register_converter

from engine.states import Stage

BIGGEST_ID = 2**63 - 1


def register() -> None:
    """Makes ``<row:..>`` and ``<stage:..>`` known to Django; twice is once."""
    for name, converter in (("row", RowId), ("stage", StageName)):
        if name not in converters.get_converters():
            register_converter(converter, name)


class RowId:
    """A positive whole number that a bigint column can hold; any other address does not exist."""

    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if not 0 < number <= BIGGEST_ID:
            raise ValueError(value)
        return number

    def to_url(self, value: int) -> str:
        return str(value)


class StageName:
    regex = "|".join(Stage.values)

    def to_python(self, value: str) -> Stage:
        return Stage(value)

    def to_url(self, value: Stage) -> str:
        return value.value
