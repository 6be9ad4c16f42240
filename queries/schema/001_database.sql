-- The database of everything below.
CREATE DATABASE IF NOT EXISTS {database:Identifier}
