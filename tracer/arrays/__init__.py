"""What a function sees while it is traced: arrays that record, numbers, truths, selections; and the storages behind them."""
