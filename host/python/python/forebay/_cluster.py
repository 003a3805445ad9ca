"""The cluster of a job, as its nodes see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Member:
    """One node of the cluster and where it is."""

    role: str
    index: int
    machine: str
    """Name of its machine (agent)."""
    address: str
    """Address that the other nodes reach it at, without a port."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Its leased ports by name, in the order in which the framework's plugin names them."""
    finished: bool = False
    """It has said that its work is done, or it has ended as finished."""

    @property
    def name(self) -> str:
        """`worker:0`."""
        return f"{self.role}:{self.index}"

    def endpoint(self, port: str | None = None) -> str:
        """`address:port` of a port by name; by default of its first one.

        Raises:
            LookupError: it has no such port.
        """
        name = next(iter(self.ports), "") if port is None else port
        if name not in self.ports:
            known = ", ".join(f"`{known}`" for known in self.ports) or "none"
            raise LookupError(f"`{self.name}` has no port `{name}`; its ports are: {known}")
        return f"{_bracketed(self.address)}:{self.ports[name]}"


@dataclass(frozen=True)
class Cluster:
    """One published form of the cluster. It never changes; ask the node for a newer one."""

    generation: int
    """Grows by one with each publication; 0 until the first."""
    members: tuple[Member, ...] = ()

    def role(self, role: str) -> tuple[Member, ...]:
        """The members of a role, ordered by index; empty when the cluster has no such role."""
        return tuple(sorted((member for member in self.members if member.role == role), key=lambda member: member.index))

    def endpoints(self, role: str, port: str | None = None) -> list[str]:
        """`address:port` of each member of a role, ordered by index.

        Args:
            role: name of the role, `worker`.
            port: name of a port; by default the first one of each member.

        Raises:
            LookupError: a member has no such port.
        """
        return [member.endpoint(port) for member in self.role(role)]

    @property
    def finished(self) -> tuple[Member, ...]:
        """The members that have done their work."""
        return tuple(member for member in self.members if member.finished)


def published(generation: int, members: list[tuple[str, int, str, str, list[tuple[str, int]], bool]]) -> Cluster:
    """A form of the cluster as the agent tells it."""
    of_each = (Member(role, index, machine, address, dict(ports), done) for role, index, machine, address, ports, done in members)
    return Cluster(generation, tuple(of_each))


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
