"""The settings file: what can be set, where the file is looked for, and how it is read and changed."""

from dicomnode.settings.change import set_value
from dicomnode.settings.load import Loaded, get, load, parse
from dicomnode.settings.places import Place, Surroundings, find, places
from dicomnode.settings.profiles import Profile
from dicomnode.settings.tables import Destination, Listener, Log, Model, Node, PromptSettings, Readiness, Settings

__all__ = [
    "Destination",
    "Listener",
    "Loaded",
    "Log",
    "Model",
    "Node",
    "Place",
    "Profile",
    "PromptSettings",
    "Readiness",
    "Settings",
    "Surroundings",
    "find",
    "get",
    "load",
    "parse",
    "places",
    "set_value",
]
