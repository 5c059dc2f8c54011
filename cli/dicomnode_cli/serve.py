"""`dicomnode serve`: run the node until it is told to stop."""

from dicomnode import logs
from dicomnode.node import serve as run_node
from dicomnode_cli.options import ConfigOption, load_settings


def serve(config: ConfigOption = None) -> None:
    """Listen for studies, segment what is annotated, send the results to the destinations of the settings.

    Runs until SIGTERM or Ctrl-C, then finishes what it is doing and stops. What was acknowledged to a sender is kept
    over a restart.
    """
    settings = load_settings(config).settings
    logs.configure(settings.log.level, settings.log.format)
    run_node(settings)
