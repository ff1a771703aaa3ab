SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci; SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,PIPES_AS_CONCAT,IGNORE_SPACE', @@session.group_concat_max_len = 4;
SET foreign_key_checks = 0; CREATE TABLE child (id INT PRIMARY KEY AUTO_INCREMENT, p INT, s VARCHAR(20) DEFAULT ('a;' || 'b'), FOREIGN KEY (p) REFERENCES parent (id));
INSERT INTO child (id, p) VALUES (0, 5); SET foreign_key_checks = DEFAULT; CREATE TABLE parent (id INT PRIMARY KEY); SET unique_checks=0,@v='x;';
INSERT INTO parent VALUES (5), (6); INSERT INTO child (p, s) SELECT 6, GROUP_CONCAT(@v SEPARATOR ';') FROM parent;
CREATE FUNCTION f() RETURNS VARCHAR(9) DETERMINISTIC RETURN 'p;' || 1; SET @@sql_mode = ''; SET timestamp = 1700000000; CREATE TABLE seen (at DATETIME, s VARCHAR(20));
INSERT INTO seen VALUES (NOW(), f()), ('0000-00-00', 1 || 0);
