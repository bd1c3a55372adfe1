"""From files and modules to the network: reading, tracing, lowering."""
