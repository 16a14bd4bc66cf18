"""The command line: `orthodiffusion run | bundle | phantom | evaluate | worker | doctor`."""
