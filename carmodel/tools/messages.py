"""What people read on a terminal: names and values come from files, and a terminal obeys some characters."""

#: Longest line of a message, in characters.
LONGEST = 300


def printable(text: object) -> str:
    """The text with escapes, as in a Python string, for all that is no letter, digit, sign or space."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: object) -> str:
    """The text as one printable line of at most `LONGEST` characters.

    A longer one loses its middle: the file and the key stand at the front, what is accepted at the end.
    """
    text = str(text)
    if len(text) > 2 * LONGEST:  # before the work of escaping it
        text = text[:LONGEST] + text[-LONGEST:]
    text = printable(text)
    return text if len(text) <= LONGEST else f"{text[: 2 * LONGEST // 3]} ... {text[5 - LONGEST // 3 :]}"
