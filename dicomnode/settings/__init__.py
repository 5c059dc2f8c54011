"""The settings file: what can be set, where the file is looked for, and how it is read and changed."""

from dicomnode.domain import Proof
from dicomnode.settings.change import set_value
from dicomnode.settings.load import Loaded, get, load, parse
from dicomnode.settings.places import Place, Surroundings, find, places
from dicomnode.settings.profiles import Profile
from dicomnode.settings.remotes import Destination, DestinationKind, Pull, Retrieve, Source, SourceKind
from dicomnode.settings.tables import (
    Delivery,
    JobPriority,
    Jobs,
    Listener,
    Log,
    Model,
    Node,
    PromptSettings,
    Readiness,
    Settings,
    Storage,
)

__all__ = [
    "Delivery",
    "Destination",
    "DestinationKind",
    "JobPriority",
    "Jobs",
    "Listener",
    "Loaded",
    "Log",
    "Model",
    "Node",
    "Place",
    "Profile",
    "PromptSettings",
    "Proof",
    "Pull",
    "Readiness",
    "Retrieve",
    "Settings",
    "Source",
    "SourceKind",
    "Storage",
    "Surroundings",
    "find",
    "get",
    "load",
    "parse",
    "places",
    "set_value",
]
