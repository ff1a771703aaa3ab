CREATE TABLE `a;b` (`c``d;` INT, `'` INT, `"` VARCHAR(9) DEFAULT '`;', `-- -` INT, `/*` INT, `#` INT, 1a INT, `select` INT);
INSERT INTO `a;b` (`c``d;`, `'`, `-- -`, `/*`, `#`, 1a) VALUES (1, 2, 3, 4, 5, 6); INSERT INTO `a;b` (1a) SELECT `a;b`.`1a` FROM `a;b`;
CREATE VIEW `v;` AS SELECT `c``d;` AS `x;`, `'` AS 'y;', `"` AS "z;" FROM `a;b`;
CREATE TABLE end (begin INT, commit INT); INSERT INTO `end` VALUES (1, 2);
SET @`q;` = 1, @'r;' = 2, @"s;" = 3, @t.u = 4, @v$w = 5; INSERT INTO end VALUES (@`q;` + @'r;' + @"s;", @t.u + @v$w);
