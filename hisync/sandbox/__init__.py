"""A stand-in for the hiTask service, to try hisync out and to test it.

It shares no code with the rest of hisync. A `Model` holds a team's data and is also how other
members change them; a `Service` answers requests from it, with `Traits` (what this server does
and lacks) and `Fault`s (what goes wrong); `SandboxTransport` brings it to an httpx client in the
same process, `running` and `serve` to anyone over HTTP.
"""

from hisync.sandbox.app import Running, build_app, build_service, running, serve
from hisync.sandbox.errors import ApiError
from hisync.sandbox.faults import EFFECTS, Fault, FaultBoard, fault_from, parse_fault
from hisync.sandbox.messages import Request, Response
from hisync.sandbox.model import Model
from hisync.sandbox.records import Group, Item, Tag, Unit, User
from hisync.sandbox.seed import API_KEY, LOGIN, PASSWORD, seeded_model
from hisync.sandbox.service import Logged, Service
from hisync.sandbox.traits import Traits, parse_trait, traits_from
from hisync.sandbox.transport import SandboxTransport

__all__ = [
    "API_KEY",
    "EFFECTS",
    "LOGIN",
    "PASSWORD",
    "ApiError",
    "Fault",
    "FaultBoard",
    "Group",
    "Item",
    "Logged",
    "Model",
    "Request",
    "Response",
    "Running",
    "SandboxTransport",
    "Service",
    "Tag",
    "Traits",
    "Unit",
    "User",
    "build_app",
    "build_service",
    "fault_from",
    "parse_fault",
    "parse_trait",
    "running",
    "seeded_model",
    "serve",
    "traits_from",
]
