"""Reading from a connection, which stops while enough of what came is unparsed."""

from __future__ import annotations

from uvicorn.protocols.http.flow_control import FlowControl


class Reading(FlowControl):
    """Nothing is read between :meth:`stop` and :meth:`go_on`, whoever asks for more."""

    _stopped = False

    def stop(self) -> None:
        """Read nothing more."""
        self._stopped = True
        self.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        self._stopped = False
        self.resume_reading()

    def resume_reading(self) -> None:
        """Read again, unless it is stopped."""
        if not self._stopped:
            super().resume_reading()
