"""What the command says on stderr."""

import os

_STDERR = 2


def complain(sentence: str) -> None:
    """One line, straight to the descriptor: it may come from within a signal handler, amid another write."""
    os.write(_STDERR, f"relight: {sentence}\n".encode(errors="replace"))
