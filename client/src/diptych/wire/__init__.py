"""Between messages of the contract and objects, in both directions, for clients and servers.

Importable for servers of this project; no promise of stability.
"""
