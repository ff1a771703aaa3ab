CREATE TABLE t (a BLOB DEFAULT x'3B27', b, c REAL DEFAULT -.5e-3, d INT DEFAULT 0x1F);
INSERT INTO t (a, b) VALUES (X'00ff3b', 'x''3b'''), (x'', CAST(X'6120623B' AS TEXT)), (zeroblob(3), 1e5), ('C:\', 5.e+1);
INSERT INTO t (b) VALUES ('%s ? :a @b $c %%'), ('\'';'), (9223372036854775807), (-9223372036854775808), ('
; line'), (char(59, 10, 39)), (5 % 3 | 4 & ~2 << 1);
