"""The simulated market of the sandbox: traders, their positions, and the prices that move against them.

Everything that it does to the chain a real market would do too: positions and contributions are signed
transactions that pay fees, and prices are Pyth accounts that change under everybody's feet.
"""
