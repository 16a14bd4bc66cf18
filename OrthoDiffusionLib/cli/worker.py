"""`orthodiffusion worker`: the background process, for programs that speak its protocol."""

from __future__ import annotations


def worker() -> None:
    """Serve JSON-RPC 2.0 over standard input and output until end-of-file."""
    from OrthoDiffusionLib.worker.server import main

    main()
