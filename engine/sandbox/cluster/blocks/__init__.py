"""What a cluster keeps: accounts by slot, blocks, blockhashes, history, and the banks that look at them."""
