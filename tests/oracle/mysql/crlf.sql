-- Line ends of another system
CREATE TABLE t (a VARCHAR(20)); # it's
INSERT INTO t VALUES ('one
two;'), ("three\
four");
DELIMITER //
CREATE PROCEDURE p()
BEGIN
    INSERT INTO t VALUES ('p;');
END//
DELIMITER ;
CALL p();
