-- The database for everything below.
CREATE DATABASE IF NOT EXISTS {database:Identifier}
