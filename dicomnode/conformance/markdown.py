"""Write tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a row for each of `rows`; without any, the words that there is nothing."""
    lines = [_line(row) for row in rows]
    if not lines:
        return "None."
    return "\n".join([_line(headings), _line(["---"] * len(headings)), *lines])


def _line(cells: Sequence[object]) -> str:
    texts = [" ".join(str(cell).split()).replace("|", "\\|") for cell in cells]
    return "| " + " | ".join(texts) + " |"
