"""Tables in Markdown that are aligned as text too, and how figures stand in them."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return a Markdown table, its head the first row; the first `left` columns flush left, the others flush right."""
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    marks = ["-" * width if place < left else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    lines = [rows[0], marks, *rows[1:]]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )


def percent(share: float | None) -> str:
    """Return a share in percent with two decimals; a dash for what is undefined.

    >>> percent(0.12345), percent(-1e-17), percent(None)
    ('12.35%', '0.00%', '-')
    """
    if share is None:
        return "-"
    text = f"{share:.2%}"
    return "0.00%" if text == "-0.00%" else text  # less than nothing by rounding alone


def decimal(value: float | None) -> str:
    """Return a number with three decimals; a dash for what is undefined."""
    return "-" if value is None else f"{value:.3f}"


def interval(ends: Sequence[float]) -> str:
    """Return an interval of shares in percent.

    >>> interval((0.5, 0.625))
    '50.00% to 62.50%'
    """
    low, high = ends
    return f"{percent(low)} to {percent(high)}"
