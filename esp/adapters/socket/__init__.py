"""Coordination between the processes of one machine through their parent, over a Unix socket."""

from esp.adapters.socket.client import SocketCoordination
from esp.adapters.socket.server import CoordinationServer

__all__ = ["CoordinationServer", "SocketCoordination"]
