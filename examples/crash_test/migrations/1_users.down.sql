DROP TABLE logins;

DROP TABLE users;
