INSERT INTO users VALUES (0, 'nobody');

CREATE INDEX users_name ON users (name);
