"""What every model file says of its classifier: read through one schema, finite numbers only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from nucprof.config.models import Region
from nucprof.errors import ModelError
from nucprof.io.state import fault_of
from nucprof.learn.expectations import Expectations, Positive
from nucprof.learn.scaling import Scaling
from nucprof.plate.names import fault_of_class

D = TypeVar("D", bound="Described")


def _class_names(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a class is listed twice")
    fault = next(filter(None, map(fault_of_class, names)), "")
    if fault:
        raise ValueError(fault)
    return names


def _once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name is listed twice")
    return names


class Described(BaseModel):
    """What forests and networks both say."""

    classes: Annotated[list[str], Field(min_length=2), AfterValidator(_class_names)]
    cultures: list[str]
    temperature: Positive
    prior: list[Positive]
    unseen_wells: list[dict[str, Any]]
    trained_wells: list[dict[str, Any]]
    expects: Expectations | None = None

    @model_validator(mode="after")
    def _one_prior_per_class(self: D) -> D:
        if len(self.prior) != len(self.classes) or abs(sum(self.prior) - 1) > 1e-3:
            raise ValueError("prior: it is not a share for every class, adding up to 1")
        return self


class ForestFile(Described):
    """The content of ``model.skops``, apart from the trees."""

    features: Annotated[list[str], Field(min_length=1), AfterValidator(_once)]
    scaling: Scaling


class CropsFile(BaseModel):
    """The crops of a network."""

    channels: Annotated[list[str], Field(min_length=1), AfterValidator(_once)]
    region: Region
    patch_size: Annotated[int, Field(ge=4, le=4096)]
    masked: bool


class NetworkFile(Described):
    """The content of ``model.json``."""

    architecture: str
    crops: CropsFile
    image_size: Annotated[int, Field(ge=8, le=4096)]
    normalise: Annotated[str, Field(pattern="^(crop|plate)$")]
    weights_sha256: str
    metadata: dict[str, Any]


def described(path: Path, held: dict[str, Any], schema: type[D]) -> D:
    """Read what a model file says; metadata's keys count like its own.

    Raises
    ------
    ModelError
        A key is missing, or its value cannot be; the message names file and key.
    """
    try:
        return schema.model_validate({**dict(held.get("metadata") or {}), **held})
    except (ValidationError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: {fault_of(error)}; train the model again") from None
