"""Double entry bookkeeping: accounts, transactions that balance, and the proof that they do."""
