ALTER TABLE users ADD COLUMN email TEXT;

UPDATE users SET email = lower(name) || '@example.org';
