"""How a setting is declared: its default, description, unit, flag, and what depends on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Auto = Literal["auto"]
# Names become folder and file names on every operating system.
SafeName = Annotated[
    str, StringConstraints(pattern=r"^[^\W_](?:[\w.\-+() ]*[\w\-+)])?$", max_length=80)
]


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
        Its unit, and the name of its flag where that is not the key.
    decides
        Whether it decides a result. False for what says where or how fast things run, and for a
        path whose content is hashed instead.
    when
        ``{key: values}``: it means something only where these other keys of its section have one
        of these values; elsewhere it decides nothing.
    **kwargs
        Limits, as pydantic's ``Field`` takes them.
    """
    extra: dict[str, Any] = {key: value for key, value in (("unit", unit), ("flag", flag)) if value}
    if not decides:
        extra["decides"] = False
    if when:
        extra["when"] = {key: list(values) for key, values in when.items()}
    return Field(default, description=description, json_schema_extra=extra or None, **kwargs)


class Section(BaseModel):
    """A section of the project file: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)
