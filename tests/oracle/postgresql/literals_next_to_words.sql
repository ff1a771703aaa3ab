CREATE TABLE t(a text,b date DEFAULT date'2024-02-29',c interval DEFAULT interval'1'day,d bytea DEFAULT'\x3b27'::bytea);
INSERT INTO t(a)VALUES('a;'),(E'b\''),($$c'$$),(';'||E'\'');INSERT INTO t(a)SELECT'd;'FROM t AS"t;"WHERE a='a;'OR a IN('x')AND NOT a LIKE'%\%;'ESCAPE'\';
INSERT INTO t SELECT name'\',DATE'2024-03-01',INTERVAL'2:03:04'HOUR TO SECOND,E'\\x3b'::bytea;
INSERT INTO t(a)VALUES(1.5e3||''),(.5||';'),(1e-7||'');
CREATE TABLE bare AS SELECT name'\'AS a,date'2024-01-01'b,1.5e3 c,$$;$$d,E'\';'e,10-$$7$$::int AS f,'a'::name||';'AS"g;";
