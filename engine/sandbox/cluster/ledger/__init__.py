"""What changes a cluster: the machine, the ledger around it, the leader that fills blocks, a node's view."""
