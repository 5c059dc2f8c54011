"""The tables of the settings file: every setting, its default and what is allowed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from dicomnode.dicom.labels import read_tables
from dicomnode.domain import SEG_ONLY, JobOptions, ObjectKind, OutputProfile, PriorityRule, SegType, Strategy
from dicomnode.errors import SettingsError
from dicomnode.inference.engines import Device, EngineName, EngineWish, Precision
from dicomnode.inference.library import MODEL_RULE, NAME_PATTERN
from dicomnode.inference.loading import ModelWish
from dicomnode.inference.runtime import DEFAULT
from dicomnode.logs import LogFormat, LogLevel
from dicomnode.settings.profiles import BUILT_IN_PROFILES, Profile, unique_profiles
from dicomnode.settings.remotes import Destination, Pull, Source
from dicomnode.settings.rules import STRATEGIES, CodeStrings, ModelRule, planes_of
from dicomnode.settings.table import (
    REACH,
    REGULAR_EXPRESSION,
    WINDOW,
    AeTitle,
    Host,
    Reach,
    RegularExpression,
    Table,
    Window,
    absolute,
    matching,
    unique_names,
)

FREE = "a number of GiB, 0 or more; 0 is no limit"


def _long_string(text: str) -> str:
    return matching(text.strip(" "), r"[ -\[\]-~]{1,64}")


def _model(text: str) -> str:
    return matching(text, NAME_PATTERN)


def _types(types: Sequence[str]) -> Sequence[str]:
    return [matching(one.strip().upper(), r"[A-Z0-9_ ]{1,16}") for one in types]


Seconds = Annotated[float, Field(allow_inf_nan=False)]


class Node(Table):
    """Who this node is and where it keeps its data."""

    ae_title: AeTitle = "DICOMNODE"
    data_dir: Annotated[Path, AfterValidator(absolute)] = Field(strict=False, description="the path of a folder")
    device_serial_number: Annotated[str, AfterValidator(_long_string)] = Field(
        default="not assigned",
        description="1 to 64 printable ASCII characters, no backslash, not only spaces (PS3.5 6.2, LO)",
    )


class Listener(Table):
    """How the node listens for instances; port 0 takes any free port, which is for tests."""

    host: Host = "0.0.0.0"  # noqa: S104 - a DICOM node is there to be reached from other machines
    port: int = Field(default=11112, ge=0, le=65535, description="a whole number from 0 to 65535; 0 is any free port")
    max_associations: int = Field(default=32, ge=1, description="a whole number, 1 or more")
    max_pdu_bytes: int = Field(
        default=131072, ge=4096, le=16777216, description="a whole number of bytes from 4096 to 16777216"
    )
    idle_seconds: Seconds = Field(default=60.0, gt=0, description="a number of seconds greater than 0")
    max_associations_per_peer: int = Field(default=0, ge=0, description="a whole number, 0 or more; 0 is no limit")
    max_object_gib: float = Field(default=4.0, gt=0, allow_inf_nan=False, description="a number of GiB greater than 0")
    require_called_ae_title: bool = Field(default=True, description="true or false")
    calling_ae_titles: Sequence[AeTitle] = Field(default=[], description="a list of AE titles")
    unrestricted: bool = Field(default=False, description="true or false")
    strict: bool = Field(default=False, description="true or false")
    storage_commitment: bool = Field(default=False, description="true or false")
    processes: int = Field(default=1, ge=1, le=16, description="a whole number from 1 to 16")
    fast: bool = Field(default=True, description="true or false")


class Readiness(Table):
    """When a study counts as complete."""

    quiet_seconds: Seconds = Field(default=10.0, ge=0, description="a number of seconds, 0 or more")
    incomplete_seconds: Seconds = Field(default=600.0, ge=0, description="a number of seconds, 0 or more")
    expire_hours: float = Field(default=72.0, gt=0, allow_inf_nan=False, description="a number of hours greater than 0")


class JobPriority(Table):
    """How urgent the studies are that a rule fits; the first that fits counts."""

    calling_ae_title: AeTitle | None = Field(
        default=None,
        description="1 to 16 printable ASCII characters, no backslash, not only spaces (PS3.5 6.2, AE)",
    )
    modality: CodeStrings = Field(default=[], description='a list of modalities, such as ["CT", "MR"]')
    priority: int = Field(ge=-100, le=100, description="a whole number from -100 to 100; higher goes first")

    def value(self) -> PriorityRule:
        """Return the rule as the node takes it."""
        return PriorityRule(
            priority=self.priority, calling_ae_title=self.calling_ae_title, modalities=tuple(self.modality)
        )


class Jobs(Table):
    """How jobs are queued."""

    concurrency: int = Field(default=1, ge=1, le=16, description="a whole number from 1 to 16")
    attempts: int = Field(default=3, ge=1, description="a whole number, 1 or more")
    priorities: tuple[JobPriority, ...] = Field(
        default=(), strict=False, description="[[jobs.priorities]] tables, each with a priority"
    )


class Delivery(Table):
    """How results are sent, proven and given up."""

    first_retry_seconds: Seconds = Field(default=3.0, gt=0, description="a number of seconds greater than 0")
    longest_retry_seconds: Seconds = Field(default=3600.0, gt=0, description="a number of seconds greater than 0")
    give_up_days: float = Field(default=7.0, gt=0, allow_inf_nan=False, description="a number of days greater than 0")
    breaker_failures: int = Field(default=3, ge=1, description="a whole number, 1 or more")
    probe_seconds: Seconds = Field(default=30.0, gt=0, description="a number of seconds greater than 0")
    proof_seconds: Seconds = Field(default=600.0, gt=0, description="a number of seconds greater than 0")
    proof_attempts: int = Field(default=5, ge=1, description="a whole number, 1 or more")


class Storage(Table):
    """How much of the disk is left free, and what is deleted when."""

    stop_free_gib: float = Field(default=1.0, ge=0, allow_inf_nan=False, description=FREE)
    clean_free_gib: float = Field(default=5.0, ge=0, allow_inf_nan=False, description=FREE)
    keep_days: float = Field(
        default=30.0, ge=0, allow_inf_nan=False, description="a number of days, 0 or more; 0 is for ever"
    )


class Model(Table):
    """What segments."""

    name: Annotated[str, AfterValidator(_model)] = Field(default=DEFAULT, description=MODEL_RULE)
    folder: Annotated[Path, AfterValidator(absolute)] | None = Field(
        default=None, strict=False, description="the path of a folder"
    )
    engine: EngineName = Field(default=EngineName.ONNX, strict=False, description=f"one of: {', '.join(EngineName)}")
    device: Device = Field(default=Device.AUTO, strict=False, description=f"one of: {', '.join(Device)}")
    precision: Precision = Field(default=Precision.AUTO, strict=False, description=f"one of: {', '.join(Precision)}")
    deadline_seconds: Seconds = Field(default=3600.0, gt=0, description="a number of seconds greater than 0")
    memory_gib: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="a number of GiB, 0 or more; 0 is no limit"
    )
    strategy: Strategy = Field(default=Strategy.AUTO, strict=False, description=STRATEGIES)
    propagate: Reach = Field(default=0, description=REACH)
    window: Window = Field(default="auto", description=WINDOW)
    reference: bool = Field(default=False, description="true or false")
    rules: tuple[ModelRule, ...] = Field(
        default=(), strict=False, description="[[model.rules]] tables, each of which asks for something"
    )


class PromptSettings(Table):
    """Which regions are segmented, how annotations are read, and what their regions are called in codes."""

    roi: RegularExpression | None = Field(default=None, description=REGULAR_EXPRESSION)
    roi_types: Annotated[Sequence[str], AfterValidator(_types)] = Field(
        default=[], description="a list of RT ROI Interpreted Types (PS3.3 C.8.8.8.1)"
    )
    margin_mm: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="a number of millimetres, 0 or more")
    interpolate: bool = Field(default=True, description="true or false")
    split_components: bool = Field(default=False, description="true or false")
    length_as_box: bool = Field(default=False, description="true or false")
    swap_spacing: bool = Field(default=False, description="true or false")
    own_results: bool = Field(default=False, description="true or false")
    labels: Sequence[Annotated[Path, Field(strict=False), AfterValidator(absolute)]] = Field(
        default=[], description="a list of paths of files"
    )


class Log(Table):
    """How much is logged, and how."""

    level: LogLevel = Field(default=LogLevel.INFO, strict=False, description=f"one of: {', '.join(LogLevel)}")
    format: LogFormat = Field(default=LogFormat.TEXT, strict=False, description=f"one of: {', '.join(LogFormat)}")


class Settings(Table):
    """Everything that can be set."""

    node: Node
    listener: Listener = Listener()
    readiness: Readiness = Readiness()
    model: Model = Model()
    prompts: PromptSettings = PromptSettings()
    jobs: Jobs = Jobs()
    delivery: Delivery = Delivery()
    storage: Storage = Storage()
    destinations: Annotated[tuple[Destination, ...], AfterValidator(unique_names)] = Field(
        default=(), strict=False, description="[[destinations]] tables, each with a name of its own"
    )
    sources: Annotated[tuple[Source, ...], AfterValidator(unique_names)] = Field(
        default=(), strict=False, description="[[sources]] tables, each with a name of its own"
    )
    pulls: Annotated[tuple[Pull, ...], AfterValidator(unique_names)] = Field(
        default=(), strict=False, description="[[pulls]] tables, each with a name of its own"
    )
    profiles: Annotated[tuple[Profile, ...], AfterValidator(unique_profiles)] = Field(
        default=(),
        strict=False,
        description="[[profiles]] tables, each with a name of its own",
    )
    log: Log = Log()

    @property
    def models_folder(self) -> Path:
        """Return the folder that imported models lie in."""
        return self.model.folder or self.node.data_dir / "models"

    def model_wish(self) -> ModelWish:
        """Return which model is wished for, and how it shall run."""
        model = self.model
        return ModelWish(
            name=model.name,
            folder=self.models_folder,
            engine=EngineWish(engine=model.engine, device=model.device, precision=model.precision),
            reference=model.reference,
        )

    def profile(self, name: str) -> OutputProfile:
        """Return the output profile `name`, one of the file or a built-in one."""
        known = {**BUILT_IN_PROFILES, **{profile.name: profile.value() for profile in self.profiles}}
        if name not in known:
            raise SettingsError("profile", f"found {name!r}; allowed: one of: {', '.join(known)}")
        return known[name]

    def output_profiles(self) -> dict[str, OutputProfile]:
        """Return the name of each destination and what it gets."""
        return {to.name: self.profile(to.profile) for to in self.destinations}

    def job_options(self) -> JobOptions:
        """Return what is asked of each job, for all destinations; the tables of names of now belong to it."""
        asked, model = self.prompts, self.model
        profiles = (SEG_ONLY, *self.output_profiles().values())
        objects = {kind for profile in profiles for kind in profile.objects}
        types = {one for profile in profiles for one in profile.types}
        return JobOptions(
            roi=asked.roi,
            margin_mm=asked.margin_mm,
            split_components=asked.split_components,
            interpolate=asked.interpolate,
            roi_types=tuple(asked.roi_types),
            length_as_box=asked.length_as_box,
            swap_spacing=asked.swap_spacing,
            labels=tuple(map(str, asked.labels)),
            names_digest=read_tables(asked.labels).digest,
            device_serial_number=self.node.device_serial_number,
            objects=tuple(kind for kind in ObjectKind if kind in objects),
            seg_types=tuple(one for one in SegType if one in types),
            strategy=model.strategy,
            propagate=planes_of(model.propagate),
            window=model.window,
            reference=model.reference,
            rules=tuple(rule.value() for rule in model.rules),
        )
