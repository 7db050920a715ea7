"""What a function reaches besides its arguments: found, fetched again at each call, guarded; and what no trace may rest on."""
