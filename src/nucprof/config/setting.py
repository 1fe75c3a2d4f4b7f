"""The declaration of a setting: default, description, unit, flag, and effect on results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from nucprof.plate.names import fault_of_class, fault_of_name

Auto = Literal["auto"]


def _safe(name: str) -> str:
    fault = fault_of_name(name)
    if fault:
        raise ValueError(fault)
    return name


SafeName = Annotated[str, AfterValidator(_safe)]
"""A name that becomes a folder or file, on any operating system."""


def class_name(name: str) -> str:
    """The name of a class or culture; raises a ValueError for one that cannot be."""
    fault = fault_of_class(name)
    if fault:
        raise ValueError(fault)
    return name


ClassName = Annotated[str, AfterValidator(class_name)]
"""A name of a class or culture: free text."""


def setting(
    default: Any,
    description: str,
    *,
    unit: str | None = None,
    flag: str | None = None,
    decides: bool = True,
    when: Mapping[str, Sequence[Any]] | None = None,
    **kwargs: Any,
) -> Any:
    """Declare a setting.

    Parameters
    ----------
    default, description
        Its default, and one line of help.
    unit, flag
        Its unit, and the name of its flag if it differs from the key.
    decides
        Whether it decides a result. False for settings that only affect where or how fast things
        run, and for a path whose content is hashed instead.
    when
        ``{key: values}``: it applies only if these other keys of its section have one of these
        values; otherwise it has no effect on results.
    **kwargs
        Limits, as in pydantic's ``Field``.
    """
    extra: dict[str, Any] = {key: value for key, value in (("unit", unit), ("flag", flag)) if value}
    if not decides:
        extra["decides"] = False
    if when:
        extra["when"] = {key: list(values) for key, values in when.items()}
    return Field(default, description=description, json_schema_extra=extra or None, **kwargs)


class Section(BaseModel):
    """A section of the project file: frozen, no unknown keys, finite numbers."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        defer_build=True,
        allow_inf_nan=False,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``true`` and ``false``, which pydantic would read as 1 and 0."""
        kinds = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and kinds is not bool and bool not in get_args(kinds):
            raise ValueError("true and false are no value of this key")
        return value
