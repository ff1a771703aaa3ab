CREATE TABLE t ( -- first; line
    a INT /* one; */, -- it's
    /* two */ b TEXT DEFAULT ';' -- last
) /* after; */ ;
CREATE VIEW v AS -- what; it is
    SELECT /* inside; */ a FROM t;
CREATE TRIGGER tr AFTER INSERT ON t BEGIN -- END;
    INSERT INTO t SELECT 2, 'x;END;' WHERE NEW.a = 1; /* END; */ -- END;
    SELECT ';END', "a;END" FROM (SELECT 1 AS "a;END");
END;
INSERT INTO t (a) VALUES (1);
