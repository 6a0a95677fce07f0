"""The clients, one file each: how it is started, and which features it does not have."""
