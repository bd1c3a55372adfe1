"""The path kernel by counting shared bits in compiled loops."""
