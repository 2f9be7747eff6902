"""What an action declares: its name, its parameters, its kinds of input and output, what it will need, and ``run``."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

from verglas.errors import InputError

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.project import Project

DEFAULT_SEED = 1
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class ActionParameters(BaseModel):
    """Base of every action's parameters: unknown names are refused, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def field(
    default: Any = PydanticUndefined,
    *,
    help: str,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
    gt: float | None = None,
    lt: float | None = None,
    expert: bool = False,
) -> Any:
    """Declare one parameter.

    Parameters
    ----------
    default
        Its default; without one the user must give it.
    help
        One line for the person who fills in the form.
    unit
        ``A``, ``degrees``, ``kV``, ``e/A^2`` ...
    ge, le, gt, lt
        Limits.
    expert
        Shown among the expert options.
    """
    return Field(
        default, description=help, ge=ge, le=le, gt=gt, lt=lt, json_schema_extra={"unit": unit, "expert": expert}
    )


@dataclass(frozen=True)
class Input:
    """One kind of asset that an action works on.

    Attributes
    ----------
    name
        Of the option and in ``context.inputs`` (``movies``).
    kind
        Of the assets (``movie``).
    help
        One line.
    required
        Whether the action cannot go without; then the default is all assets of the kind.
    default_all
        Whether the default is all assets of the kind; none: only where the action cannot go without.
    with_parents
        Records come with that of what they were made from, as ``parent``, and so on.
    """

    name: str
    kind: str
    help: str
    required: bool = True
    default_all: bool | None = None
    with_parents: bool = False

    @property
    def takes_all(self) -> bool:
        """Whether all assets of the kind are taken where none are chosen."""
        return self.required if self.default_all is None else self.default_all


class Action(ABC):
    """One action. A subclass is all there is to write: every face is made from it.

    Attributes
    ----------
    name
        Of the command, the job folder and the endpoint (``align-movies``).
    title, summary
        For people: a heading, and one line.

    Parameters
    ----------
        A subclass of `ActionParameters`, its fields made by `field`.
    inputs, outputs
        What it works on; the kinds of its results.
    two_profiles
        Whether parts of maps are added up, which a run profile of its own may do.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    Parameters: ClassVar[type[ActionParameters]]
    inputs: ClassVar[tuple[Input, ...]] = ()
    outputs: ClassVar[tuple[str, ...]] = ()
    two_profiles: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not _NAME.fullmatch(cls.name):
            raise TypeError(f"{cls.__name__}.name is {cls.name!r}; it should look like align-movies")
        for name, info in cls.Parameters.model_fields.items():
            if not info.description:
                raise TypeError(f"{cls.__name__}.Parameters.{name} has no help; declare it by field(...)")

    @classmethod
    def fill_in(cls, project: Project, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Return the chosen inputs with what the project knows that a user need not say; nothing by default."""
        del project
        return inputs

    @abstractmethod
    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the job will need; cheap: it reads no file."""

    @abstractmethod
    def run(self, context: JobContext) -> None:
        """Do the work. Called again on resume: skip what has results (``context.pending``)."""

    @classmethod
    def entry(cls) -> str:
        """Return ``module:Class``, by which controllers and workers load the action."""
        return f"{cls.__module__}:{cls.__qualname__}"

    @classmethod
    def check_parameters(cls, values: dict[str, Any]) -> ActionParameters:
        """Return checked parameters.

        Raises
        ------
        InputError
            A name is unknown, a value missing or out of its limits; the message names each with its unit.
        """
        try:
            return cls.Parameters.model_validate(values)
        except ValidationError as error:
            problems = []
            for problem in error.errors():
                name = ".".join(str(part) for part in problem["loc"]) or "parameters"
                given = "" if problem["type"] == "missing" else f" (given: {problem['input']!r})"
                problems.append(f"{name}: {problem['msg']}{given}")
            raise InputError(f"{cls.title}: {'; '.join(problems)}.") from error

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the action as plain JSON: what the web form and the HTTP endpoint are made from."""
        return {
            "name": cls.name,
            "title": cls.title,
            "summary": cls.summary,
            "inputs": [
                {"name": one.name, "kind": one.kind, "help": one.help, "required": one.required} for one in cls.inputs
            ],
            "outputs": list(cls.outputs),
            "two_profiles": cls.two_profiles,
            "parameters": cls.Parameters.model_json_schema(),
        }


def unit_of(action: type[Action], parameter: str) -> str:
    """Return a parameter's unit, or an empty text."""
    return str(_extra(action, parameter).get("unit", ""))


def is_expert(action: type[Action], parameter: str) -> bool:
    """Tell whether a parameter is one of the expert options."""
    return bool(_extra(action, parameter).get("expert", False))


def _extra(action: type[Action], parameter: str) -> dict[str, Any]:
    extra = action.Parameters.model_fields[parameter].json_schema_extra
    return extra if isinstance(extra, dict) else {}
