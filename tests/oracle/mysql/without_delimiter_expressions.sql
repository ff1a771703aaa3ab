CREATE TABLE log (n INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(99), `end` INT, `case` INT DEFAULT 0); -- end
CREATE AGGREGATE FUNCTION summed(x INT) RETURNS INT
BEGIN
    DECLARE total INT DEFAULT 0;
    DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN IF(total > 5, total, 0);
    LOOP FETCH GROUP NEXT ROW; SET total = total + x; END LOOP;
END; -- end
CREATE FUNCTION IF NOT EXISTS pick(a ENUM('begin;', 'end'), b DECIMAL(5, 2)) RETURNS ENUM('begin', 'if;', 'end') DETERMINISTIC NO SQL SQL SECURITY INVOKER
    RETURN CASE a WHEN 'begin;' THEN 'begin' ELSE CASE WHEN b > 1 THEN 'if;' ELSE 'end' END END; -- end
CREATE PROCEDURE odd(IN `begin` INT, OUT `loop` INT)
outermost: BEGIN
    DECLARE c CURSOR (least INT) FOR SELECT n, `end` FROM log WHERE n >= least;
    DECLARE CONTINUE HANDLER FOR SQLSTATE VALUE '42S02', NOT FOUND, SQLWARNING IF `begin` THEN SET @handled = 1; END IF;
    SET `loop` = IF(`begin` > 0, REPEAT('1', 2), REPLACE('2', '2', '3')), @e = (SELECT MAX(`end`) FROM log);
    REPLACE INTO log (n, what) VALUES (50, REPLACE('a;', ';', '!')); DO IF(1, SLEEP(0), 0);
    FOR r IN c (1) DO UPDATE log SET `case` = CASE WHEN r.`end` IS NULL THEN 1 ELSE 2 END WHERE n = r.n; END FOR;
    WHILE IF(`loop` > 10, 1, 0) DO SET `loop` = `loop` - CASE `loop` WHEN 11 THEN 1 ELSE 2 END; END WHILE;
    REPEAT SET `loop` = `loop` - 1; UNTIL CASE WHEN `loop` < 5 THEN 1 ELSE 0 END = 1 END REPEAT;
    inner_one: BEGIN LEAVE outermost; END inner_one;
    INSERT INTO log (what) VALUES ('never;');
END outermost; -- end
INSERT INTO log (what, `end`) VALUES ('a', 3), (pick('end', 2), 4); -- end
CALL odd(1, @l); -- end
INSERT INTO log (what) SELECT CONCAT(@l, ';', summed(`end`)) FROM log; -- end
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DISABLE DO IF 1 THEN DELETE FROM log; END IF; -- end
