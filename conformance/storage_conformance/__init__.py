"""The conformance suite that every driver must pass, and the memory driver that shows how.

The authors of a driver write one class in a test module:

    from storage_conformance import suite

    class TestMyDriver(suite.All):
        @pytest.fixture
        def profile(self):
            return {"driver": "mydriver", "endpoint": "http://127.0.0.1:9999"}

`storage conformance --profile NAME --report FILE` does the same without a test module.
"""

SUITE_VERSION = "1.0"
"""Grows with every change of what a driver must do to pass."""
