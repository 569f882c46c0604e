"""The PostgreSQL source: tables, views and queries of a live database as channels, read and never written."""
