"""Everything that touches a Solana node: reads, subscriptions, blockhashes, fees, and bytes that leave."""
