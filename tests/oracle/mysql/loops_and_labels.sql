CREATE TABLE log (n INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(99));
DELIMITER //
CREATE PROCEDURE run(INOUT total INT)
main: BEGIN
    DECLARE done, i INT DEFAULT 0; DECLARE v VARCHAR(20);
    DECLARE c CURSOR FOR SELECT 'x;' UNION SELECT 'y';
    DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
    DECLARE EXIT HANDLER FOR SQLSTATE '45000', 1062 BEGIN INSERT INTO log (what) VALUES ('handled;'); END;
    OPEN c;
    reading: LOOP
        FETCH c INTO v;
        IF done THEN LEAVE reading; END IF;
        INSERT INTO log (what) VALUES (v);
        ITERATE reading;
    END LOOP reading;
    CLOSE c;
    REPEAT SET i = i + 1; UNTIL i >= 3 END REPEAT;
    counting: WHILE i > 0 DO
        CASE i WHEN 2 THEN INSERT INTO log (what) VALUES (CASE WHEN i = 2 THEN 'two;' ELSE 'other' END); ELSE BEGIN END; END CASE;
        SET i = i - 1;
    END WHILE counting;
    FOR k IN 1..2 DO SET total = total + k; END FOR;
    FOR r IN (SELECT n FROM log) DO SET total = total + r.n; END FOR;
    INSERT INTO log (what) VALUES (IF(total > 3, 'if;', 'not')), (REPEAT('r;', 2)), (REPLACE('a', 'a', ';'));
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'it''s; over';
END//
DELIMITER ;
SET @total = 0; CALL run(@total); INSERT INTO log (what) VALUES (@total);
