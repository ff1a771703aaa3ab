-- Line ends of another system
CREATE TABLE t (
  a TEXT, -- it's
  b TEXT DEFAULT 'x
y'
);
CREATE TRIGGER tr AFTER INSERT ON t BEGIN
  UPDATE t SET a = 'one
two;';
END;
INSERT INTO t (a) VALUES ('three;
four');
