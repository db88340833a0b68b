"""What the user is told where a command fails or is stopped, and the exit code that follows."""

from __future__ import annotations

import logging
import signal

from torchio_seg.cli.screen import Screen
from torchio_seg.errors import PeerError, TorchioSegError


def show_failure(error: BaseException) -> int:
    """Tell the user what went wrong; the exit code says whose fault it was."""
    errors = Screen.shared().errors
    if isinstance(error, KeyboardInterrupt | SystemExit):
        code = error.code if isinstance(error, SystemExit) else 128 + signal.SIGINT
        by_signal = isinstance(code, int) and code > 128  # else by a closed pipe, as of head
        for sentence in getattr(error, "__notes__", ["stopped"] if by_signal else []):
            logging.getLogger("torchio_seg").warning("%s", sentence)
        return code if isinstance(code, int) else 1
    if isinstance(error, PeerError):
        return error.exit_code
    if isinstance(error, TorchioSegError):
        errors.print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    errors.print(f"error: {type(error).__name__}: {error}", style="red", markup=False)
    errors.print("This is unexpected. Run the command again with --debug and report what it shows.")
    return 1
