"""The families of networks, one package each."""
