"""A fake of gateway and model service, for tests of programs that use this package.

::

    from diptych import Client
    from diptych.testing import FakeSegmentService

    with FakeSegmentService() as service, Client(service.address) as client:
        assert len(client.segment("photo.jpg").segments) == 1

It is a real gRPC server on a free port of the loopback interface; only the model is fake.
"""

from ._answers import FakeCall, FakeVideoFrame
from ._failures import Failure
from ._service import FakeSegmentService

__all__ = ["Failure", "FakeCall", "FakeSegmentService", "FakeVideoFrame"]
