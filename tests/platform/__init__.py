"""The platform in tests: Basecamp's ONCE and its proxy, call by call, in a real engine.

`Platform` does what `once` does, with the same Docker calls, names, mounts, order and force flags.
`Proxy` stands in for kamal-proxy. One difference: the image under test is local and never pulled.
"""

from tests.platform.application import Application, Mail
from tests.platform.platform import DeployError, Platform
from tests.platform.proxy import Proxy
from tests.platform.restore import RestoreError

__all__ = ["Application", "DeployError", "Mail", "Platform", "Proxy", "RestoreError"]
