"""Flow control that pauses reading while enough received data is unparsed."""

from __future__ import annotations

from uvicorn.protocols.http.flow_control import FlowControl


class Reading(FlowControl):
    """Flow control that reads nothing between :meth:`stop` and :meth:`go_on`, even if uvicorn resumes reading."""

    _stopped = False

    def stop(self) -> None:
        """Stop reading."""
        self._stopped = True
        self.pause_reading()

    def go_on(self) -> None:
        """Allow reading again."""
        self._stopped = False
        self.resume_reading()

    def resume_reading(self) -> None:
        """Resume reading, unless it is stopped."""
        if not self._stopped:
            super().resume_reading()
