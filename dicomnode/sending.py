"""Send files to a destination of the settings, or ask whether it answers, on somebody's command."""
