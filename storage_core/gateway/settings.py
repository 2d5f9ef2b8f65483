"""What a gateway can be told; see `storage_core.config.gateway`, where configurations say it."""

from storage_core.config.gateway import GatewaySettings, ImportSettings, Z3Settings

__all__ = ["GatewaySettings", "ImportSettings", "Z3Settings"]
