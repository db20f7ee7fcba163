"""What a Region's instances run: how it is packed on a developer's machine, and unpacked and started on an instance."""
