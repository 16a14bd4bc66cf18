"""Worker: the background process that holds the networks; JSON-RPC 2.0 over standard input and output."""
