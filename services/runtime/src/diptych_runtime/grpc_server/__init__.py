"""The gRPC server that model services and the gateway share."""
