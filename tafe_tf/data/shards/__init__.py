"""Jobs that write a directory of shards and can be resumed."""
