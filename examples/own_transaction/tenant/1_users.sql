CREATE TABLE users (email VARCHAR(255) NOT NULL CHECK (email LIKE '%@%'));
