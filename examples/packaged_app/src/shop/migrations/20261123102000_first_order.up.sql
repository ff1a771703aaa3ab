INSERT INTO orders (id, item) VALUES (1, 'tea');
