"""Say names that a file brought, whatever they are, so that they can be printed."""

from collections.abc import Iterable

_LONGEST = 160


def shown(name: object) -> str:
    """Return `name` as one printable line, cut where it is long."""
    text = str(name)
    text = text if text.isprintable() and text else repr(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def one_line(error: Exception) -> str:
    """Return what an engine says of its failure, in one line."""
    return " ".join(str(error).split())


def few(names: Iterable[str], most: int = 5) -> str:
    """Return the first `most` of `names`, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(map(shown, listed[:most])) + more
