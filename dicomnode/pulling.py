"""Pull objects of a source of the settings on somebody's command."""
