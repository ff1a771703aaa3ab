CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(99) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin);
INSERT INTO t (s) VALUES ('it\'s; here'), ('\\'), ("C:\\"), ('a''b;'), ("a""b;"), ("\";"), ('\\\';'), (''), ('";'), ("';"), ('`;');
INSERT INTO t (s) VALUES ('one; ' 'two' "three;"), ('one'
  '\'two;'), (N'n;'), (_utf8mb4'u;'), (_utf8mb4 x'3b27'), (x'3B'), (X'3b41'), (b'00111011'), (0x3B27), (0b00111011), (_latin1'l;');
INSERT INTO t (s) VALUES ('%s %% :a ? \% \_ $1'), ('line\nline\t;\0.'), ('line
; line'), ('DELIMITER //'), ('\Z\z'), ('--;'), ('#;'), ('/*;'), (1e3), (.5), (1.), (CONCAT('a;', 0x62, "\\"));
