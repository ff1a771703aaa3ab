CREATE TABLE t (a INT, b VARCHAR(30));
DELIMITER //
CREATE PROCEDURE p()
BEGIN
    -- a comment with // in it; isn't it
    # and // another
    /* and // a third ; */
    INSERT INTO t VALUES (1, '//'), (2, "//;"), (3, 'DELIMITER ;');
    /*
DELIMITER ;
    */
END//
/* before DELIMITER ; */ CALL p() // CALL p()//
DELIMITER ; -- the rest of the line does not count
INSERT INTO t VALUES (4, 'a // b'); -- //
DELIMITER ";"
DELIMITER '@@'
INSERT INTO t VALUES (5, 'a@@b')@@
INSERT INTO t VALUES (6, @x)@@
delimiter ;
INSERT INTO t VALUES (7, '@@');
