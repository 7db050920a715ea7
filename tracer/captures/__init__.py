"""What a function reaches besides its arguments: found, fetched again at each call, remembered; and what no trace may rest on."""
