"""Pure rules of the stream: no trio, sockets, clock, logging or async."""
