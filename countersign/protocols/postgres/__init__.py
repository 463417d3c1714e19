"""PostgreSQL: codec, inspector, masking and messages are sans-IO; `session` has the sockets."""
