"""`python -m OrthoDiffusionLib.worker`: the background process."""

from OrthoDiffusionLib.worker.server import main

if __name__ == "__main__":
    main()
